package deadletter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// frame is a Codec 8 frame of records with these timestamps.
func frame(t *testing.T, timestamps ...uint64) []byte {
	t.Helper()
	data := teltonika.AVLData{Codec: teltonika.Codec8}
	for _, at := range timestamps {
		data.Records = append(data.Records, teltonika.Record{Timestamp: at})
	}
	b, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func letter(reason string, frame []byte) *Letter {
	return &Letter{"1", engine.DeadLetter{
		DeviceID: "356307042441013", Codec: "8", Reason: reason, Received: time.UnixMilli(1760000000000), Frame: frame,
	}}
}

func replayer(t *testing.T) (*Replayer, *testkit.Engine) {
	t.Helper()
	e := testkit.NewEngine(1)
	p := publish.New(publish.Options{
		Engine: e, Capacity: 300, LargestFrame: teltonika.MaxRecords, Timeout: 5 * time.Second,
		Metrics: publish.NewMetrics(prometheus.NewRegistry()),
		Logger:  slog.New(slog.DiscardHandler),
	})
	t.Cleanup(p.Close)
	return &Replayer{Publisher: p}, e
}

func TestReplay(t *testing.T) {
	r, e := replayer(t)
	l := letter("malformed", frame(t, 1000, 2000))
	outcome, err := r.Replay(l)
	if err != nil || outcome != (publish.Outcome{Published: 2}) {
		t.Fatalf("%+v, %v", outcome, err)
	}
	first := e.Records()[0]
	if len(e.Records()) != 2 || first.Codec != "8" || first.Time != "1970-01-01T00:00:01.000Z" ||
		!strings.Contains(first.Payload, `"received_at":"2025-10-09T08:53:20.000Z"`) ||
		strings.Contains(first.Payload, `"raw"`) {
		t.Errorf("stored %+v", e.Records())
	}
	if outcome, err = r.Replay(l); err != nil || outcome != (publish.Outcome{Duplicates: 2}) {
		t.Errorf("again: %+v, %v", outcome, err)
	}
	r.Raw = true
	if _, err = r.Replay(letter("malformed", frame(t, 3000))); err != nil ||
		!strings.Contains(e.Records()[2].Payload, `"raw"`) {
		t.Errorf("stored %+v, %v", e.Records(), err)
	}
	if outcome, err = r.Replay(letter("malformed", frame(t))); err != nil || outcome != (publish.Outcome{}) {
		t.Errorf("a frame without records: %+v, %v", outcome, err)
	}
}

// A dead letter of a datagram is the whole datagram, which has no CRC. It may begin like a frame.
func TestReplayOfADatagram(t *testing.T) {
	for id, padded := range map[uint16]bool{0xCAFE: false, 0xBEEF: true, 0: false} {
		r, e := replayer(t)
		d := teltonika.Datagram{PacketID: id, Type: 1, IMEI: "356307042441013",
			Body: teltonika.Frame(frame(t, 1000, 2000)).Body()}
		b, err := d.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if padded {
			b = append(b, make([]byte, 100)...) // the rest of a read buffer, as some devices send
		} else {
			b[0], b[1] = 0, 0 // a wrong length, as others do
		}
		l := letter("malformed", b)
		l.Transport = engine.UDP
		if n := l.Claimed(); n != 2 {
			t.Errorf("%d records claimed, want 2", n)
		}
		if outcome, err := r.Replay(l); err != nil || outcome != (publish.Outcome{Published: 2}) || len(e.Records()) != 2 {
			t.Errorf("%+v, %v, stored %+v", outcome, err, e.Records())
		}
	}
}

// TestReplayStays has what cannot be published, by now or ever.
func TestReplayStays(t *testing.T) {
	good := frame(t, 1000)
	wrongCRC := bytes.Clone(good)
	wrongCRC[len(wrongCRC)-1]++
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"nothing":       {nil, teltonika.ErrIncomplete},
		"cut off":       {good[:len(good)-1], teltonika.ErrIncomplete},
		"too long":      {append(bytes.Clone(good), 0), errTooLong},
		"wrong crc":     {wrongCRC, teltonika.ErrCRC},
		"unknown codec": {teltonika.AppendFrame(nil, []byte{0x99, 1, 1}), teltonika.ErrUnknownCodec},
		"message":       {teltonika.AppendFrame(nil, []byte{0x0C, 1, 5, 0, 0, 0, 9, 'x', 1}), teltonika.ErrOverrun},
		"numbers":       {teltonika.AppendFrame(nil, []byte{0x08, 0, 1}), teltonika.ErrCount},
	} {
		r, e := replayer(t)
		if _, err := r.Replay(letter("malformed", c.frame)); !errors.Is(err, c.want) || errors.Is(err, ErrNotStored) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if len(e.Records())+len(e.DeadLetters()) != 0 {
			t.Errorf("%s: something is stored", name)
		}
	}
}

// Messages that could not be decoded when they came are published, however many a frame has.
func TestReplayOfMessages(t *testing.T) {
	r, e := replayer(t)
	m := teltonika.Messages{Codec: teltonika.Codec13}
	for n := range 600 {
		m.Messages = append(m.Messages,
			teltonika.Message{Type: 6, Timestamp: uint32(n), Payload: []byte{byte(n), byte(n >> 8)}})
	}
	body := []byte{0x0D, 1}
	for _, one := range m.Messages {
		body = append(body, one.Type, 0, 0, 0, 6)
		body = binary.BigEndian.AppendUint32(body, one.Timestamp)
		body = append(body, one.Payload...)
	}
	l := letter("malformed", teltonika.AppendFrame(nil, append(body, 1)))
	for _, transport := range []string{"", engine.TCP} {
		l.Transport = transport
		if outcome, err := r.Replay(l); err != nil || outcome != (publish.Outcome{Messages: 600}) {
			t.Fatalf("%+v, %v", outcome, err)
		}
	}
	got := e.Messages()
	if len(got) != 1200 {
		t.Fatalf("%d messages are stored", len(got))
	}
	for n, g := range got[:600] {
		want := m.Messages[n]
		if g.DeviceID != l.DeviceID || g.Codec != "13" || g.Type != 6 || g.Sent.Unix() != int64(n) ||
			!bytes.Equal(g.Payload, want.Payload) ||
			!g.Received.Equal(l.Received) {
			t.Fatalf("message %d is %+v", n, g)
		}
	}
	r.Publisher = nil
	if outcome, err := r.Replay(l); err != nil || outcome != (publish.Outcome{Messages: 600}) ||
		len(e.Messages()) != 1200 {
		t.Errorf("tried: %+v, %v", outcome, err)
	}
}

// The transport says what the bytes are, so nothing is guessed: this datagram is a whole frame as well. Without a
// transport, as in dead letters that are older than the field, it is a frame.
func TestReplayDoesNotGuessTheTransport(t *testing.T) {
	for transport, want := range map[string]error{engine.TCP: nil, "": nil, engine.UDP: teltonika.ErrLogin} {
		r, _ := replayer(t)
		l := letter("malformed", frame(t, 1000))
		l.Transport = transport
		if _, err := r.Replay(l); !errors.Is(err, want) {
			t.Errorf("a frame that came by %q: %v, want %v", transport, err, want)
		}
		d := teltonika.Datagram{PacketID: 7, Type: 1, IMEI: l.DeviceID, Body: teltonika.Frame(l.Frame).Body()}
		datagram, err := d.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		l.Frame = datagram
		if _, err := r.Replay(l); (err == nil) != (transport == engine.UDP) {
			t.Errorf("a datagram that came by %q: %v", transport, err)
		}
	}
}

func TestReplayTimestamps(t *testing.T) {
	const late = record.MaxTimestamp + 1
	r, e := replayer(t)
	if _, err := r.Replay(letter("timestamp", frame(t, 1000, late, 2000))); !errors.Is(err, record.ErrTimestamp) {
		t.Errorf("still beyond the limit: %v", err)
	}
	if outcome, err := r.Replay(letter("timestamp", frame(t, 1000, 2000))); err != nil || outcome != (publish.Outcome{}) {
		t.Errorf("all published then: %+v, %v", outcome, err)
	}
	if len(e.Records())+len(e.DeadLetters()) != 0 {
		t.Errorf("stored %+v, %+v", e.Records(), e.DeadLetters())
	}
	l := letter("malformed", frame(t, 1000, late, 2000))
	if outcome, err := r.Replay(l); err != nil || outcome != (publish.Outcome{Published: 2, DeadLettered: 1}) {
		t.Errorf("decodable by now: %+v, %v", outcome, err)
	}
	dead := e.DeadLetters()
	if len(dead) != 1 || dead[0].Reason != "timestamp" || !dead[0].Received.Equal(l.Received) ||
		!bytes.Equal(dead[0].Frame, l.Frame) {
		t.Errorf("dead letters %+v", dead)
	}
	records := []teltonika.Record{{Timestamp: 5}, {Timestamp: late}, {Timestamp: late - 1}, {Timestamp: 1 << 63}}
	var missing []uint64
	for _, r := range unpublished("timestamp", records) {
		missing = append(missing, r.Timestamp)
	}
	if !slices.Equal(missing, []uint64{late, 1 << 63}) || len(unpublished("malformed", records)) != 4 {
		t.Errorf("not published then are %v", missing)
	}
}

func TestReplayNotStored(t *testing.T) {
	r, e := replayer(t)
	e.Fail(func(*engine.Batch) error { return &engine.Error{Err: errors.New("no")} })
	l := letter("malformed", frame(t, 1000))
	if _, err := r.Replay(l); !errors.Is(err, ErrNotStored) {
		t.Errorf("%v", err)
	}
	tried := Replayer{}
	if outcome, err := tried.Replay(l); err != nil || outcome != (publish.Outcome{Published: 1}) || len(e.Records()) != 0 {
		t.Errorf("tried only: %+v, %v", outcome, err)
	}
	e.Fail(nil)
	if outcome, err := r.Replay(l); err != nil || outcome != (publish.Outcome{Published: 1}) {
		t.Errorf("%+v, %v", outcome, err)
	}
}

// TestReplaySaysWhatElementsMean: as of a frame, if that is wanted.
func TestReplaySaysWhatElementsMean(t *testing.T) {
	r, e := replayer(t)
	data := teltonika.AVLData{Codec: teltonika.Codec8, Records: make([]teltonika.Record, 2)}
	for i := range data.Records {
		data.Records[i].Timestamp = uint64(1000 * (i + 1))
		data.Records[i].AddNumber(21, teltonika.Group1, 4)
	}
	f, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	asked := ""
	r.Meaning = func(imei string, _ bool) *meaning.Device {
		asked = imei
		return meaning.NewDevice(meaning.Embedded(), imei)
	}
	if _, err := r.Replay(letter("malformed", f)); err != nil {
		t.Fatal(err)
	}
	for _, record := range e.Records() {
		if !strings.Contains(record.Payload, `"signals":{"gsm.signal.level":4}`) || asked != record.DeviceID {
			t.Errorf("asked for %q: %s", asked, record.Payload)
		}
	}
}
