package testkit

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// scripted is a testing.TB that notes a failure and ends the goroutine, as the real one does.
type scripted struct {
	testing.TB
	failed bool
}

func (s *scripted) Helper()               {}
func (s *scripted) Cleanup(func())        {}
func (s *scripted) Fatalf(string, ...any) { s.failed = true; panic(s) }

// fails reports whether the script fails its test.
func fails(conn net.Conn, script func(*Tracker)) (failed bool) {
	tb := new(scripted)
	defer func() {
		if r := recover(); r != nil && r != any(tb) {
			panic(r)
		}
		failed = tb.failed
	}()
	script(NewTracker(tb, conn))
	return
}

var record = teltonika.Record{Timestamp: 1_700_000_000_000, Satellites: 7}

func TestTrackerConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		tracker := NewTracker(t, near)
		login, _ := teltonika.AppendLogin(nil, "356307042441013")
		frame := tracker.Frame(teltonika.Codec8E, record, record)
		packet := teltonika.Messages{Codec: teltonika.Codec12,
			Messages: []teltonika.Message{{Type: 5, Payload: []byte("getinfo")}}}
		command, _ := packet.AppendFrame(nil)
		server := make(chan error, 1)
		go func() {
			defer close(server)
			defer far.Close()
			for _, step := range []struct{ expect, answer []byte }{
				{login, []byte{1}}, {frame, []byte{0, 0, 0, 2}}, {[]byte{0xFF}, nil}, {frame, []byte{0, 0, 0, 2}}, {frame, command},
			} {
				got := make([]byte, len(step.expect))
				if _, err := io.ReadFull(far, got); err != nil {
					server <- err
				}
				if !bytes.Equal(got, step.expect) {
					t.Errorf("server got % x, expected % x", got, step.expect)
				}
				if len(step.answer) > 0 { // a pipe waits for a reader even of nothing
					far.Write(step.answer)
				}
			}
		}()
		tracker.MustLogin("356307042441013")
		tracker.SendFrame(teltonika.Codec8E, record, record)
		tracker.ExpectACK(2)
		tracker.SendKeepAlive()
		tracker.ExpectNoAnswer(time.Minute)
		tracker.Send(frame, 1, 7, 3)
		tracker.ExpectACK(2)
		tracker.SendBytewise(frame)
		if got := tracker.ReadFrame(); got.Codec() != teltonika.Codec12 {
			t.Errorf("frame of codec %v, expected 12", got.Codec())
		}
		tracker.ExpectClosed()
		if err := <-server; err != nil {
			t.Error(err)
		}
	})
}

func TestTrackerSegments(t *testing.T) {
	near, far := net.Pipe()
	tracker := NewTracker(t, near)
	go tracker.Send([]byte("abcdef"), 1, 3)
	for _, expected := range []string{"a", "bcd", "ef"} {
		b := make([]byte, 16)
		if n, err := far.Read(b); err != nil || string(b[:n]) != expected {
			t.Fatalf("segment %q (%v), expected %q", b[:n], err, expected)
		}
	}
}

// TestTrackerFails has a server that does the wrong thing each time.
func TestTrackerFails(t *testing.T) {
	send := func(b ...byte) func(net.Conn) { return func(c net.Conn) { c.Write(b) } }
	hangUp := func(c net.Conn) { c.Close() }
	silence := func(net.Conn) {}
	for name, c := range map[string]struct {
		server func(net.Conn)
		script func(*Tracker)
	}{
		"login refused":         {send(0), func(t *Tracker) { t.MustLogin("1") }},
		"no login answer":       {silence, func(t *Tracker) { t.Login("1") }},
		"login not encodable":   {silence, func(t *Tracker) { t.SendLogin("") }},
		"frame not encodable":   {silence, func(t *Tracker) { t.Frame(teltonika.Codec12, record) }},
		"other ACK":             {send(0, 0, 0, 1), func(t *Tracker) { t.ExpectACK(2) }},
		"half an ACK":           {send(0, 0), func(t *Tracker) { t.ReadACK() }},
		"an answer":             {send(0), func(t *Tracker) { t.ExpectNoAnswer(time.Second) }},
		"closed, not silent":    {hangUp, func(t *Tracker) { t.ExpectNoAnswer(time.Second) }},
		"not closed":            {silence, func(t *Tracker) { t.ExpectClosed() }},
		"answered, then closed": {func(c net.Conn) { c.Write([]byte{1}); c.Close() }, func(t *Tracker) { t.ExpectClosed() }},
		"nobody reads":          {hangUp, func(t *Tracker) { synctest.Wait(); t.SendKeepAlive() }},
		"not a frame":           {send(1, 2, 3, 4, 5, 6, 7, 8), func(t *Tracker) { t.ReadFrame() }},
		"frame with wrong CRC":  {send(0, 0, 0, 0, 0, 0, 0, 3, 0x8E, 0, 0, 0, 0, 0, 0), func(t *Tracker) { t.ReadFrame() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				go io.Copy(io.Discard, far)
				go c.server(far)
				if !fails(near, c.script) {
					t.Error("the script passed, expected it to fail")
				}
				near.Close()
				far.Close()
			})
		})
	}
}

// TestTrackerDial is the same over TCP, where a close with bytes unread arrives as a reset.
func TestTrackerDial(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	tracker := Dial(t, listener.Addr().String())
	tracker.Send([]byte("unread"))
	conn := <-accepted
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	tracker.ExpectClosed()
}
