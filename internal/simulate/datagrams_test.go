package simulate

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// smallUDP are the options of a fleet that sends datagrams and does not wait.
func smallUDP(address string, devices int, records int64) Options {
	o := small(address, devices, records)
	o.Transport = UDP
	return o
}

// datagramsInVirtualTime is inVirtualTime for datagrams.
func datagramsInVirtualTime(t *testing.T, s *datagramServer, o Options, check func(t *testing.T, l Ledger)) {
	synctest.Test(t, func(t *testing.T) {
		s.tb = t
		o.Start, o.Dial = time.Now(), s.dialDatagrams()
		l := run(t, o)
		s.wg.Wait()
		check(t, l)
		s.checkNumbers(t)
	})
}

func TestDatagrams(t *testing.T) {
	for _, order := range []Order{NewestFirst, OldestFirst} {
		s := &datagramServer{server: server{tb: t}}
		o := smallUDP(s.listenUDP(), 60, 20_000)
		o.Order, o.RecordsPerFrame = order, Range{Min: 1, Max: 60}
		l := run(t, o)
		s.close()
		checkComplete(t, &s.server, l, 20_000)
		s.checkNumbers(t)
		if l.Connections != 60 || l.RecordsResent != 0 || l.AnswersLate != 0 || l.LastFailure != "" {
			t.Errorf("expected 60 quiet sockets: %+v", l)
		}
		sent, largest := 0, 0
		for _, packets := range s.packets {
			for _, p := range packets {
				sent += p.size
				largest = max(largest, p.size)
			}
		}
		if l.BytesSent != int64(sent) || largest < 1200 {
			t.Errorf("%d bytes arrived, at most %d in one datagram; the ledger says %d", sent, largest, l.BytesSent)
		}
	}
}

// TestSameRecordsByDatagrams makes sure that how frames are cut does not change what is recorded.
func TestSameRecordsByDatagrams(t *testing.T) {
	stream, datagrams := &server{tb: t}, &datagramServer{server: server{tb: t}}
	o := small(stream.listen(), 10, 5000)
	o.RecordsPerFrame = Range{Min: 100, Max: 255}
	run(t, o)
	o.Transport, o.Address = UDP, datagrams.listenUDP()
	run(t, o)
	stream.close()
	datagrams.close()
	ids := stream.ids()
	for id := range datagrams.ids() {
		if ids[id] != 1 {
			t.Fatalf("record %s is not among those sent over TCP", id)
		}
	}
}

// TestStorm loses, copies and delays datagrams, and sockets with them: every record arrives, and what is listed as
// acknowledged is what was answered.
func TestStorm(t *testing.T) {
	s := &datagramServer{server: server{tb: t}}
	var list bytes.Buffer
	o := smallUDP(s.listenUDP(), 40, 8000)
	o.Loss, o.Duplicate, o.Reorder, o.ReorderDelay = 0.2, 0.2, 0.2, 20*time.Millisecond
	o.ResponseTimeout, o.Reconnect, o.LoseACK = 10*time.Millisecond, 0.05, 0.05
	o.Acknowledged = &list
	l := run(t, o)
	s.close()
	s.checkNumbers(t)
	arrived := s.ids()
	if !l.OK() || l.RecordsAcknowledged != 8000 || len(arrived) != 8000 {
		t.Errorf("%d records arrived, ledger: %+v", len(arrived), l)
	}
	lines := strings.Fields(list.String())
	for _, id := range lines {
		delete(arrived, id)
	}
	if len(lines) != 8000 || len(arrived) != 0 {
		t.Errorf("%d lines, %d records that arrived are not among them", len(lines), len(arrived))
	}
	if l.DatagramsLost < 300 || l.DatagramsCopied < 300 || l.DatagramsDelayed < 300 || l.AnswersLate < 100 ||
		l.FramesResent < 300 || l.Connections < 80 {
		t.Errorf("expected a storm: %+v", l)
	}
	sent := make(map[string]bool)
	for imei, packets := range s.packets {
		for _, p := range packets {
			sent[imei+string([]byte{byte(p.PacketID >> 8), byte(p.PacketID)})] = true
		}
	}
	all := l.FramesSent + l.FramesResent
	if n := int64(len(sent)); n > all || n < all/2 { // a busy machine loses some too
		t.Errorf("%d transmissions arrived, the ledger says %d and %d again", n, l.FramesSent, l.FramesResent)
	}
}

// TestShareOfLoss measures, in virtual time, what becomes of datagrams.
func TestShareOfLoss(t *testing.T) {
	s := new(datagramServer)
	o := smallUDP("", 10, 40_000)
	o.RecordsPerFrame = Range{Min: 4, Max: 4}
	o.Loss, o.ResponseTimeout, o.Drain = 0.2, time.Second, time.Hour
	datagramsInVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		sent, arrived := float64(l.FramesSent+l.FramesResent), float64(s.frames())
		if !within(arrived, 0.8*sent, 0.03) || !within(float64(l.FramesAcknowledged), 0.8*arrived, 0.03) {
			t.Errorf("%v sent, %v arrived, %d answers arrived; expected 0.8 of each", sent, arrived, l.FramesAcknowledged)
		}
		if l.NoAnswer != l.FramesResent || l.DatagramsLost != l.NoAnswer || !l.OK() || l.Connections != 10 {
			t.Errorf("expected each loss to time out: %+v", l)
		}
	})
}

// TestCopies has every datagram copied in both directions: each frame has four answers.
func TestCopies(t *testing.T) {
	s := new(datagramServer)
	o := smallUDP("", 1, 0)
	o.Rate, o.RecordsPerFrame, o.Duplicate, o.Duration = 1, Range{1, 1}, 1, 1000*time.Second
	datagramsInVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		frames := l.FramesSent
		if !within(float64(frames), 1000, 0.01) || int64(s.frames()) != 2*frames || l.FramesResent != 0 || !l.OK() {
			t.Errorf("%d frames arrived, ledger: %+v", s.frames(), l)
		}
		if l.DatagramsCopied != 3*frames || l.AnswersLate < 3*frames-3 || l.AnswersLate > 3*frames {
			t.Errorf("expected one copy of each frame and of its two answers, and three of the four to be late: %+v", l)
		}
	})
}

// TestReorder has every datagram delayed, beyond the response timeout: what arrives is out of order, by no more than
// was said.
func TestReorder(t *testing.T) {
	s := new(datagramServer)
	o := smallUDP("", 5, 500)
	o.Reorder, o.ReorderDelay, o.ResponseTimeout = 1, 3*time.Second, time.Second
	datagramsInVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		older := 0
		for _, packets := range s.packets {
			for i := range packets[1:] {
				if int16(packets[i+1].PacketID-packets[i].PacketID) < 0 {
					older++
				}
			}
		}
		if older < 20 || !l.OK() || l.RecordsAcknowledged != 500 || l.AnswersLate == 0 || l.FramesResent < 100 {
			t.Errorf("%d datagrams arrived after younger ones, ledger: %+v", older, l)
		}
		if l.Latency.Max > 6*time.Second*33/32 || l.Latency.P50 < time.Second {
			t.Errorf("latency is %+v, expected two delays of up to 3 s", l.Latency)
		}
	})
}

// TestRetransmission leaves each device's second frame unanswered twice, and then answers the first of the three.
func TestRetransmission(t *testing.T) {
	var held []byte
	s := &datagramServer{reply: func(p packet) [][]byte {
		switch p.nth {
		case 1:
			held = p.ack()
			return nil
		case 2:
			return nil
		case 3:
			return [][]byte{held}
		}
		return [][]byte{p.ack()}
	}}
	datagramsInVirtualTime(t, s, smallUDP("", 1, 100), func(t *testing.T, l Ledger) {
		checkComplete(t, &s.server, l, 100)
		if l.NoAnswer != 2 || l.FramesResent != 2 || l.Connections != 1 || l.Elapsed < time.Minute ||
			l.Elapsed > 61*time.Second {
			t.Errorf("expected two timeouts of 30 s on one socket: %+v", l)
		}
		if l.Latency.Max != time.Minute {
			t.Errorf("latency is %v, expected that of the transmission that was answered", l.Latency.Max)
		}
		p := s.packets[firstIMEI]
		if !same(p[1].arrival, p[2].arrival) || !same(p[1].arrival, p[3].arrival) || p[1].AVLPacketID != p[3].AVLPacketID {
			t.Error("the frame did not come again as the same AVL packet")
		}
	})
}

func TestWrongDatagramAnswers(t *testing.T) {
	change := func(at int, by byte) func(b []byte) []byte {
		return func(b []byte) []byte { b[at] += by; return b }
	}
	for name, wrong := range map[string]func(b []byte) []byte{
		"length field":       change(1, 1),
		"packet id not sent": change(3, 1),
		"packet id of old":   change(3, 255),
		"packet type":        change(4, 1),
		"AVL packet id":      change(5, 1),
		"one too many":       change(6, 1),
		"zero":               func(b []byte) []byte { b[6] = 0; return b },
		"short":              func(b []byte) []byte { return b[:6] },
		"long":               func(b []byte) []byte { return append(b, 0) },
		"empty":              func(b []byte) []byte { return b[:0] },
		"an ACK of TCP":      func(b []byte) []byte { return teltonika.AppendAck(nil, int(b[6])) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &datagramServer{server: server{tb: t}}
			s.reply = func(p packet) [][]byte {
				if p.nth == 2 {
					return [][]byte{wrong(p.ack())}
				}
				return [][]byte{p.ack()}
			}
			o := smallUDP(s.listenUDP(), 1, 50)
			o.RecordsPerFrame = Range{Min: 10, Max: 10}
			o.Codecs = Mix{{teltonika.Codec16, 1}}
			l := run(t, o)
			s.close()
			s.checkNumbers(t)
			if l.OK() || l.WrongAnswers != 1 || l.RecordsAcknowledged != 50 || l.FramesResent != 1 {
				t.Errorf("ledger does not say that an answer was wrong: %+v", l)
			}
			if p := s.packets[firstIMEI]; !same(p[2].arrival, p[3].arrival) {
				t.Error("the frame did not come again after the wrong answer")
			}
		})
	}
}

// TestForgottenAnswer has a server answer frames again that are long acknowledged: first one that can be checked, and
// then one that cannot. Neither acknowledges anything.
func TestForgottenAnswer(t *testing.T) {
	var first []byte
	s := &datagramServer{reply: func(p packet) [][]byte {
		switch p.nth {
		case 0:
			first = p.ack()
		case 10, 256:
			return [][]byte{first, p.ack()}
		case 11, 257:
			return [][]byte{first}
		}
		return [][]byte{p.ack()}
	}}
	o := smallUDP("", 1, 300)
	o.RecordsPerFrame = Range{1, 1}
	datagramsInVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		checkComplete(t, &s.server, l, 300)
		if l.AnswersLate != 4 || l.FramesResent != 2 || l.NoAnswer != 2 {
			t.Errorf("ledger: %+v", l)
		}
	})
}

// TestAnswerFromNowhere has answers come to a device that waits for none.
func TestAnswerFromNowhere(t *testing.T) {
	s := &datagramServer{reply: func(p packet) [][]byte {
		never := p.Datagram
		never.PacketID += 500
		return [][]byte{p.ack(), p.ack(), never.AppendAnswer(nil, 1)}
	}}
	o := smallUDP("", 1, 0)
	o.Rate, o.RecordsPerFrame, o.Duration = 0.1, Range{1, 1}, 59*time.Second
	datagramsInVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		if l.WrongAnswers != l.FramesSent || l.AnswersLate != l.FramesSent || l.FramesSent < 4 || l.Unacknowledged() != 0 {
			t.Errorf("expected one answer too late and one wrong for each frame: %+v", l)
		}
	})
}

// TestUDPRate keeps a schedule, with keep-alives between the frames, and changes its port.
func TestUDPRate(t *testing.T) {
	s := new(datagramServer)
	o := smallUDP("", 10, 0)
	o.Rate, o.Duration, o.KeepAlive, o.Reconnect, o.Burst = 20, 1000*time.Second, 2*time.Second, 0.01, 50
	datagramsInVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		checkComplete(t, &s.server, l, l.RecordsSent)
		if !within(float64(l.RecordsSent), 20*1000, 0.03) || l.Connections < 15 {
			t.Errorf("ledger: %+v", l)
		}
		if l.KeepAlives < 800 || int64(s.keepAlives) != l.KeepAlives {
			t.Errorf("%d keep-alives arrived, %d counted, expected 800 or more", s.keepAlives, l.KeepAlives)
		}
		if l.Elapsed < 1000*time.Second || l.Elapsed > 1001*time.Second {
			t.Errorf("run took %v, expected 1000 s", l.Elapsed)
		}
	})
}

// TestUDPDrain has a server that falls silent for good.
func TestUDPDrain(t *testing.T) {
	s := &datagramServer{reply: func(p packet) [][]byte {
		if p.nth >= 5 {
			return nil
		}
		return [][]byte{p.ack()}
	}}
	o := smallUDP("", 4, 0)
	o.RecordsPerFrame = Range{Min: 3, Max: 3}
	o.Duration, o.Drain = time.Minute, 40*time.Second
	datagramsInVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		if l.OK() || l.Unacknowledged() != 12 || l.FramesResent != 12 || l.Elapsed != 100*time.Second {
			t.Errorf("expected 4 frames of 3 records without an ACK, each sent after 0, 30, 60 and 90 s: %+v", l)
		}
	})
}

// TestNobodyListens sends to a port that is closed, and then opened.
func TestNobodyListens(t *testing.T) {
	s := &datagramServer{server: server{tb: t}}
	o := smallUDP(s.listenUDP(), 5, 100)
	s.close()
	o.Duration, o.Drain = 50*time.Millisecond, 0
	l := run(t, o)
	if l.OK() || l.RecordsAcknowledged != 0 || l.Interrupted == 0 || !strings.Contains(l.LastFailure, "refused") {
		t.Errorf("ledger: %+v", l)
	}
}

// TestManySockets has a port of its own for each device.
func TestManySockets(t *testing.T) {
	s := &datagramServer{server: server{tb: t}}
	o := smallUDP(s.listenUDP(), 3000, 6000)
	o.RecordsPerFrame, o.Sources, o.ResponseTimeout = Range{1, 1}, loopback(2), 100*time.Millisecond
	l := run(t, o)
	s.close()
	var from []string
	hosts := make(map[string]bool)
	for _, packets := range s.packets {
		from = append(from, packets[0].from)
		hosts[packets[0].from[:len("127.0.0.1")]] = true
	}
	slices.Sort(from)
	if n := len(slices.Compact(from)); n != 3000 || len(hosts) != 2 || !l.OK() || len(s.ids()) != 6000 {
		t.Errorf("%d addresses of %d hosts, %d records arrived, ledger: %+v", n, len(hosts), len(s.ids()), l)
	}
}
