package mqttsink

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// scripted is a connection of a broker that does as the test says.
type scripted struct {
	net.Conn
	in *bufio.Reader
}

// serve gives each connection to the function, and closes it then.
func serve(t *testing.T, each func(*scripted)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				each(&scripted{conn, bufio.NewReader(conn)})
			}()
		}
	}()
	return l.Addr().String()
}

// read is the next packet of the client's, with its topic, payload and id if it is a PUBLISH.
func (s *scripted) read() (p packets.Packet, err error) {
	p.ProtocolVersion = Version5
	first, err := s.in.ReadByte()
	if err != nil {
		return p, err
	}
	if err := p.FixedHeader.Decode(first); err != nil {
		return p, err
	}
	length, _, err := packets.DecodeLength(s.in)
	if err != nil {
		return p, err
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(s.in, body); err != nil {
		return p, err
	}
	if p.FixedHeader.Remaining = length; p.FixedHeader.Type == packets.Publish {
		err = p.PublishDecode(body)
	}
	return p, err
}

// accept takes CONNECT and answers with those limits.
func (s *scripted) accept(limits packets.Properties) {
	if p, err := s.read(); err == nil && p.FixedHeader.Type == packets.Connect {
		answer := packets.Packet{ProtocolVersion: Version5, Properties: limits,
			FixedHeader: packets.FixedHeader{Type: packets.Connack}}
		s.send(&answer, answer.ConnackEncode)
	}
}

func (s *scripted) acknowledge(id uint16, code byte) {
	p := packets.Packet{ProtocolVersion: Version5, PacketID: id, ReasonCode: code,
		FixedHeader: packets.FixedHeader{Type: packets.Puback}}
	s.send(&p, p.PubackEncode)
}

func (s *scripted) send(_ *packets.Packet, encode func(*bytes.Buffer) error) {
	var b bytes.Buffer
	if encode(&b) == nil {
		_, _ = s.Write(b.Bytes())
	}
}

// untilGone waits for the client to hang up.
func (s *scripted) untilGone() { _, _ = io.Copy(io.Discard, s.in) }

// TestHostileBrokers: each is given up in time, nothing counts as delivered, nothing is put aside, and what is said of
// it can be shown.
func TestHostileBrokers(t *testing.T) {
	// What a broker does by itself comes in time on a busy machine too; what it does not do is waited for briefly.
	const does, doesNot = 20 * time.Second, 300 * time.Millisecond
	limits := map[string]time.Duration{"is silent": doesNot, "half an answer": doesNot, "drips": doesNot,
		"reads not": doesNot, "acknowledges nothing": 10 * doesNot}
	accepted := func(then func(s *scripted)) func(*scripted) {
		return func(s *scripted) { s.accept(packets.Properties{}); then(s) }
	}
	for name, c := range map[string]struct {
		each func(*scripted)
		says string
	}{
		"is silent":      {(*scripted).untilGone, "no answer to CONNECT"},
		"hangs up":       {func(*scripted) {}, "no answer to CONNECT"},
		"is another":     {func(s *scripted) { _, _ = io.WriteString(s, "SSH-2.0-OpenSSH_9.2\r\n"); s.untilGone() }, ""},
		"half an answer": {func(s *scripted) { _, _ = s.Write([]byte{0x20, 3, 0}); s.untilGone() }, ""},
		"endless": {func(s *scripted) { _, _ = s.Write([]byte{0x20, 0xff, 0xff, 0xff, 0x7f}); s.untilGone() },
			"bytes"},
		"QoS 0": {func(s *scripted) { s.accept(packets.Properties{MaximumQosFlag: true}); s.untilGone() },
			"QoS 0 only"},
		"retains nothing": {func(s *scripted) { s.accept(packets.Properties{RetainAvailableFlag: true}); s.untilGone() },
			"retains nothing"},
		"refuses": {func(s *scripted) {
			_, _ = s.read()
			p := packets.Packet{ProtocolVersion: Version5, ReasonCode: 0x8a,
				FixedHeader: packets.FixedHeader{Type: packets.Connack}}
			p.Properties.ReasonString = "\x1b[31mgo away"
			s.send(&p, p.ConnackEncode)
			s.untilGone()
		}, `the broker refuses the connection: banned: \u001b[31mgo away`},
		"acknowledges nothing": {accepted((*scripted).untilGone), "acknowledges nothing"},
		"acknowledges another": {accepted(func(s *scripted) { s.acknowledge(999, 0); s.untilGone() }), "not published"},
		"acknowledges twice": {accepted(func(s *scripted) {
			p, _ := s.read()
			s.acknowledge(p.PacketID, 0)
			s.acknowledge(p.PacketID, 0)
			s.untilGone()
		}), "not published"},
		"publishes": {accepted(func(s *scripted) { _, _ = s.Write([]byte{0x30, 3, 0, 1, 'a'}); s.untilGone() }),
			"nobody has asked"},
		"greets twice": {accepted(func(s *scripted) { _, _ = s.Write([]byte{0x20, 3, 0, 0, 0}); s.untilGone() }), "twice"},
		"drips": {accepted(func(s *scripted) {
			tick := time.NewTicker(doesNot / 10)
			defer tick.Stop()
			for _, err := s.Write([]byte{0x40, 0xff, 0x10}); err == nil; _, err = s.Write([]byte{0}) {
				<-tick.C
			}
		}), ""},
		"leaves": {accepted(func(s *scripted) { _, _ = s.read(); _, _ = s.Write([]byte{0xe0, 2, 0x8b, 0}); s.untilGone() }),
			"the broker ends the connection: server shutting down"},
		"reads not": {accepted(func(*scripted) { <-t.Context().Done() }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			limit := cmp.Or(limits[name], does)
			s, aside := newSink(t, serve(t, c.each), timeout(limit), func(o *Options) { o.Retain = true })
			batch := records(0, 10)
			batch[0].Payload = bytes.Repeat([]byte(" "), 8<<20)
			start := time.Now()
			err := s.Deliver(t.Context(), batch)
			if err == nil || !strings.Contains(err.Error(), c.says) || len(aside.ids) > 0 {
				t.Errorf("%v, put aside: %v", err, aside.reasons)
			}
			if took := time.Since(start); took > 10*limit+5*time.Second {
				t.Errorf("given up after %v", took)
			}
		})
	}
}

// TestBrokerIsFull: a broker that takes no record of a device for a while gets them in their order, and those of the
// others meanwhile.
func TestBrokerIsFull(t *testing.T) {
	var mu sync.Mutex
	var got []string
	full := true
	s, aside := newSink(t, serve(t, func(c *scripted) {
		c.accept(packets.Properties{})
		for {
			p, err := c.read()
			if err != nil {
				return
			}
			mu.Lock()
			if id := string(p.Payload); full && id == `{"id":"000005"}` {
				c.acknowledge(p.PacketID, packets.ErrQuotaExceeded.Code)
			} else {
				got = append(got, p.TopicName+id)
				c.acknowledge(p.PacketID, 0)
			}
			mu.Unlock()
		}
	}))
	batch := records(0, 20)
	for range 3 {
		if err := s.Deliver(t.Context(), batch); err == nil || !strings.Contains(err.Error(), "quota exceeded") {
			t.Fatalf("%v", err)
		}
	}
	mu.Lock()
	if len(got) != 17 { // all but the second, third and fourth of d0
		t.Errorf("%d are delivered: %v", len(got), got)
	}
	full = false
	mu.Unlock()
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(a[:8], b[:8]) }) // by topic
	if len(got) != 20 || !slices.IsSorted(got) || len(aside.ids) > 0 {
		t.Errorf("%v, put aside: %v", got, aside.ids)
	}
}

// TestWhatIsInFlightIsBounded by what the broker says, and by one a device.
func TestWhatIsInFlightIsBounded(t *testing.T) {
	var most atomic.Int64
	s, _ := newSink(t, serve(t, func(c *scripted) {
		c.accept(packets.Properties{ReceiveMaximum: 3})
		for {
			var waiting []uint16
			topics := make(map[string]bool)
			for len(waiting) == 0 || c.more() {
				p, err := c.read()
				if err != nil || p.FixedHeader.Type != packets.Publish {
					return
				}
				if topics[p.TopicName] {
					t.Errorf("two of %s at once", p.TopicName)
				}
				topics[p.TopicName] = true
				waiting = append(waiting, p.PacketID)
			}
			most.Store(max(most.Load(), int64(len(waiting))))
			for _, id := range waiting {
				c.acknowledge(id, 0)
			}
		}
	}))
	if err := s.Deliver(t.Context(), records(0, 60)); err != nil || most.Load() != 3 {
		t.Errorf("%v; %d were in flight at once", err, most.Load())
	}
}

// more reports whether the client says more without an answer.
func (s *scripted) more() bool {
	_ = s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	defer func() { _ = s.SetReadDeadline(time.Time{}) }()
	_, err := s.in.Peek(1)
	return err == nil
}

// TestSilence: a connection without records is kept alive, and one that is dead is replaced before the next batch.
func TestSilence(t *testing.T) {
	var connections, pings atomic.Int64
	var deaf atomic.Bool
	s, _ := newSink(t, serve(t, func(c *scripted) {
		connections.Add(1)
		c.accept(packets.Properties{ServerKeepAliveFlag: true, ServerKeepAlive: 1})
		for {
			p, err := c.read()
			if err != nil {
				return
			}
			switch p.FixedHeader.Type {
			case packets.Publish:
				c.acknowledge(p.PacketID, 0)
			case packets.Pingreq:
				if pings.Add(1); !deaf.Load() {
					_, _ = c.Write([]byte{0xd0, 0})
				}
			}
		}
	}))
	deliver := func(n int) {
		t.Helper()
		if err := s.Deliver(t.Context(), records(n, 1)); err != nil {
			t.Fatal(err)
		}
	}
	deliver(0)
	testkit.Eventually(t, "three pings", func() bool { return pings.Load() >= 3 })
	deliver(1)
	if connections.Load() != 1 {
		t.Errorf("%d connections", connections.Load())
	}
	deaf.Store(true)
	ended := s.conn.ended
	testkit.Eventually(t, "the end of the connection", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	deliver(2)
	if connections.Load() != 2 {
		t.Errorf("%d connections", connections.Load())
	}
}

// TestStopsAtOnce: the process has to end while the broker acknowledges nothing.
func TestStopsAtOnce(t *testing.T) {
	published := make(chan struct{})
	s, _ := newSink(t, serve(t, func(c *scripted) {
		c.accept(packets.Properties{})
		_, _ = c.read()
		close(published)
		c.untilGone()
	}), timeout(time.Minute))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-published; cancel() }()
	start := time.Now()
	if err := s.Deliver(ctx, records(0, 1)); err != context.Canceled || time.Since(start) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// TestWhatCannotBePutAside waits.
func TestWhatCannotBePutAside(t *testing.T) {
	s, aside := newSink(t, serve(t, func(c *scripted) {
		c.accept(packets.Properties{MaximumPacketSize: 100})
		for p, err := c.read(); err == nil; p, err = c.read() {
			c.acknowledge(p.PacketID, 0)
		}
	}))
	batch := records(0, 3)
	batch[1].Payload = bytes.Repeat([]byte("x"), 100)
	aside.err = fmt.Errorf("disk full")
	for range 2 {
		if err := s.Deliver(t.Context(), batch); err != aside.err {
			t.Errorf("%v", err)
		}
	}
	aside.err = nil
	if err := s.Deliver(t.Context(), batch); err != nil || !slices.Equal(aside.ids, []string{"000001"}) {
		t.Errorf("%v, put aside %v", err, aside.ids)
	}
}
