package teltonikasession

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// watcher is somebody who looks at packets.
type watcher struct {
	testing.TB
	*tap.Tap
}

// watched has a tap that shows what the filter lets through.
func watched(t testing.TB, f tap.Filter) (*watcher, func(*Options)) {
	t.Helper()
	hub := tap.NewHub(nil)
	opened, err := hub.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	strangers := stranger.NewRing("one")
	strangers.Watch = hub.Knock
	return &watcher{t, opened}, func(o *Options) { o.Tap, o.Strangers = hub, strangers }
}

// expect compares what has come since the last call: "kind outcome reason answer" of each packet, "-" for nothing.
func (w *watcher) expect(want ...string) (packets []*tap.Packet) {
	w.Helper()
	synctest.Wait()
	var got []string
	for {
		p, dropped, err := w.Next(context.Background(), 0)
		if err != nil || dropped > 0 {
			w.Fatal(dropped, err)
		}
		if p == nil {
			break
		}
		packets = append(packets, p)
		line := fmt.Sprint(p.Kind, " ", p.Outcome, " ", p.Reason, "- ", hex.EncodeToString(p.Answer), "-")
		got = append(got, line)
	}
	for i := range want {
		f := strings.Fields(want[i])
		for j := 2; j < 4; j++ {
			f[j] = strings.TrimSuffix(f[j], "-") + "-"
		}
		want[i] = strings.Join(f, " ")
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return packets
}

// TestWhatATapShows: each packet of a device once, with what became of it and what was answered.
func TestWhatATapShows(t *testing.T) {
	w, tapped := watched(t, tap.Filter{})
	b := &switchboard{answers: func(m *command.Message) bool { return string(m.Payload) == "RTC" }}
	serve(t, func(s *service) {
		d := s.dialFrom("192.0.2.7")
		d.send(loginOf(imei))
		first := w.expect("login accepted - 01")[0]
		if first.IMEI != imei || first.Stranger || first.Address.String() != "192.0.2.7:40000" || first.Transport != "tcp" ||
			hex.EncodeToString(first.Bytes) != hex.EncodeToString(loginOf(imei)) {
			t.Errorf("%+v", first)
		}
		frame := goodFrame(2)
		d.send(frame)
		stored := w.expect("frame stored - 00000002")[0]
		if stored.IMEI != imei || string(stored.Bytes) != string(frame) || stored.Size != len(frame) ||
			stored.Time.IsZero() || stored.Error != "" {
			t.Errorf("%+v", stored)
		}
		d.send(frame)
		w.expect("frame duplicate - 00000002")
		d.send(frameOf(teltonika.Codec8))
		w.expect("frame empty - 00000000")
		d.send(malformed(3))
		w.expect("frame dead_lettered malformed 00000003")
		d.send(wrongCRC(goodFrame(1)))
		if p := w.expect("frame wrong_crc - -")[0]; !strings.Contains(p.Error, "CRC") {
			t.Errorf("error %q", p.Error)
		}
		s.engine.Hold()
		d.send(goodFrame(1))
		pass(publishTimeout)
		s.engine.Release()
		w.expect("frame refused timeout -")
		d.send(messageFrame(t, teltonika.Codec12, teltonika.TypeResponse, "RTC"))
		w.expect("frame command_answer - -")
		d.send(messageFrame(t, teltonika.Codec12, teltonika.TypeResponse, "serial data"))
		w.expect("frame stored - -")
		sent := sendLater(context.Background(), b.sender(), commandFrame(t))
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if c := w.expect("command command_sent - -")[0]; c.IMEI != imei || string(c.Bytes) != string(commandFrame(t)) {
			t.Errorf("%+v", c)
		}
		d.send(loginOf("1234"))
		d.send(frame[:20])
		d.conn.Close()
		cut := w.expect("login accepted - 01", "frame cut_off peer_closed -")[1]
		if cut.IMEI != "1234" || string(cut.Bytes) != string(frame[:20]) || cut.Size != len(frame) ||
			!strings.Contains(cut.Error, "cut off after 20 bytes") {
			t.Errorf("%+v", cut)
		}
		d = s.login()
		d.send(frame[:3])
		d.conn.Close()
		if p := w.expect("login accepted - 01", "frame cut_off peer_closed -")[1]; string(p.Bytes) != string(frame[:3]) {
			t.Errorf("%+v", p)
		}
	}, tapped, func(o *Options) { o.Commands = b })
}

// TestWhatATapShowsOfStrangers: their first bytes, and what they probably are.
func TestWhatATapShowsOfStrangers(t *testing.T) {
	w, tapped := watched(t, tap.Filter{Strangers: true})
	serve(t, func(s *service) {
		s.login().expectAlive()
		w.expect()
		s.dial().send([]byte("GET / HTTP/1.1\r\n\r\n"))
		if p := w.expect("login malformed foreign_protocol -")[0]; string(p.Bytes[:8]) != "GET / HT" || p.IMEI != "" ||
			!p.Stranger || !strings.Contains(p.Error, "HTTP: a scanner") {
			t.Errorf("%+v", p)
		}
		s.dial().send(loginOf("999"))
		if p := w.expect("login rejected rejected 00")[0]; p.IMEI != "999" {
			t.Errorf("%+v", p)
		}
		d := s.dial()
		d.send(loginOf(imei)[:9])
		d.conn.Close()
		if p := w.expect("login cut_off login_cut_off -")[0]; len(p.Bytes) != 9 || p.IMEI != "" || p.Error == "" {
			t.Errorf("%+v", p)
		}
		s.dial()
		pass(handshakeTimeout)
		if p := w.expect("login cut_off silent -")[0]; len(p.Bytes) != 0 || !strings.Contains(p.Error, "nothing came") {
			t.Errorf("%+v", p)
		}
	}, tapped, func(o *Options) { o.StrictAuth = true })
}

// TestWhatATapShowsOfDatagrams: what was stored is shown with the bytes that had to be kept for it.
func TestWhatATapShowsOfDatagrams(t *testing.T) {
	w, tapped := watched(t, tap.Filter{Transport: "udp"})
	servePackets(t, func(s *packetService) {
		sent := datagramOf(imei, 7, goodFrame(2))
		s.send(sent)
		p := w.expect("datagram stored - " + answerTo(7, 2))[0]
		if p.IMEI != imei || string(p.Bytes) != string(sent) || p.Address != home || p.Transport != "udp" || p.Stranger {
			t.Errorf("%+v", p)
		}
		s.send(sent)
		w.expect("datagram duplicate - " + answerTo(7, 2))
		s.send(datagramOf("999", 1, goodFrame(1)))
		s.send([]byte("hello, who are you?"))
		for _, p := range w.expect("datagram rejected - -", "datagram malformed no_datagram -") {
			if !p.Stranger || len(p.Bytes) == 0 {
				t.Errorf("%+v", p)
			}
		}
		s.send(datagramOf(imei, 1, bodyFrame(0x99, 1, 2, 3)))
		w.expect("datagram malformed unknown_codec -")
	}, tapped, func(o *Options) { o.StrictAuth = true })
}

// TestNobodyWatches: then showing allocates nothing.
func TestNobodyWatches(t *testing.T) {
	s := &session{Adapter: &Adapter{Options: Options{Tap: tap.NewHub(nil)}}}
	w := &frameContext{}
	if n := testing.AllocsPerRun(100, func() {
		s.showFrame(w, nil, "")
		s.showLogin(imei, nil, nil, "")
		s.showCommand(imei, nil, nil)
		s.watches(imei, home)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestATapHoldsUpNobody: a session goes on while a tap that nobody reads is full.
func TestATapHoldsUpNobody(t *testing.T) {
	w, tapped := watched(t, tap.Filter{})
	serve(t, func(s *service) {
		d := s.login()
		began := time.Now()
		for range 3000 {
			d.send(goodFrame(1))
			d.expect(ack(1))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the frames took %v of virtual time", took)
		}
		if _, dropped := w.Close(); dropped < 1000 {
			t.Errorf("%d dropped", dropped)
		}
	}, tapped)
}
