package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// echoAdapter is a small protocol: each datagram is answered with itself.
//
//	hold…   is answered after release
//	long    is answered with more than itself
//	panic   is a bug, later panic one in what waits
//	other   gets no answer
type echoAdapter struct {
	release chan struct{}
	taken   atomic.Int64
}

type echo struct {
	*echoAdapter
	packet Packet
	text   string
}

func (a *echoAdapter) Take(p Packet) Pending {
	a.taken.Add(1)
	e := &echo{a, p, string(p.Data)}
	e.packet.Data = nil
	switch {
	case e.text == "panic":
		panic("a bug in the adapter")
	case e.text == "other":
		return nil
	case strings.HasPrefix(e.text, "hold"), e.text == "later panic":
		return e
	}
	e.answer()
	return nil
}

func (e *echo) answer() {
	if e.text == "long" {
		e.text += "er"
	}
	_ = e.packet.Answer([]byte(e.text))
}

func (e *echo) Settle() {
	<-e.release
	if e.text == "later panic" {
		panic("a bug in the adapter")
	}
	e.answer()
}

// packetShell is a server of the small protocol on a real socket.
type packetShell struct {
	testing.TB
	*PacketServer
	adapter *echoAdapter
	address *net.UDPAddr
	log     *testkit.Log
	release func()
}

func newPacketShell(t *testing.T, maxBytes int) *packetShell {
	t.Helper()
	a := &echoAdapter{release: make(chan struct{})}
	s := &packetShell{TB: t, adapter: a, log: testkit.NewLog(t), release: sync.OnceFunc(func() { close(a.release) })}
	s.PacketServer = NewPacketServer(PacketOptions{Adapter: a, MaxBytes: maxBytes,
		Metrics: NewPacketMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	s.address = s.listen()
	t.Cleanup(func() {
		s.release()
		s.drain()
		if n := testutil.ToFloat64(s.options.Metrics.inHand); n != 0 || len(s.limiter.taken) != 0 {
			t.Errorf("%v datagrams in hand, %d places taken at the end", n, len(s.limiter.taken))
		}
		for cell := range s.limiter.addresses.Cells() {
			if n := cell.Load(); n != 0 {
				t.Errorf("%d places of an address taken at the end", n)
			}
		}
	})
	return s
}

func (s *packetShell) listen() *net.UDPAddr {
	s.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		s.Fatal(err)
	}
	s.Serve(conn)
	return conn.LocalAddr().(*net.UDPAddr)
}

func (s *packetShell) drain() {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		s.Errorf("drain: %v", err)
	}
}

// dropped is how many datagrams have been dropped for the reason.
func (s *packetShell) dropped(reason dropReason) int {
	return int(testutil.ToFloat64(s.options.Metrics.drops[reason.index()]))
}

// until waits until what is counted has reached n.
func (s *packetShell) until(what string, n int, count func() int) {
	s.Helper()
	testkit.Eventually(s, fmt.Sprintf("%s: %d", what, n), func() bool { return count() >= n })
}

// sender is a device with an address of its own.
type sender struct {
	*packetShell
	*net.UDPConn
}

func (s *packetShell) dialTo(to *net.UDPAddr, ip string) *sender {
	s.Helper()
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)}, to)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	return &sender{s, conn}
}

func (s *packetShell) dial(ip string) *sender {
	s.Helper()
	return s.dialTo(s.address, ip)
}

// say sends the datagrams, and waits from time to time until they have been read, so that none is lost.
func (d *sender) say(text string, times int) {
	d.packetShell.Helper()
	for i := range times {
		before := testutil.ToFloat64(d.options.Metrics.received)
		if _, err := d.Write([]byte(text)); err != nil {
			d.Fatal(err)
		}
		if i%32 == 0 || i == times-1 {
			d.until("datagrams read", int(before)+1, func() int { return int(testutil.ToFloat64(d.options.Metrics.received)) })
		}
	}
}

// expect compares the next answer.
func (d *sender) expect(want string) {
	d.packetShell.Helper()
	b := make([]byte, 100)
	d.UDPConn.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := d.Read(b)
	if err != nil || string(b[:n]) != want {
		d.Errorf("answer %q, %v, want %q", b[:n], err, want)
	}
}

func TestDatagramIsAnsweredFromItsSocket(t *testing.T) {
	s := newPacketShell(t, 100)
	for _, address := range []*net.UDPAddr{s.address, s.listen(), s.listen()} {
		d := s.dialTo(address, "127.0.0.1") // which takes datagrams of that socket only
		d.say("hello", 1)
		d.expect("hello")
		d.say("other", 1)
		d.say("again", 1)
		d.expect("again")
	}
}

func TestDatagramAboveTheLimit(t *testing.T) {
	s := newPacketShell(t, 100)
	d := s.dial("127.0.0.1")
	for _, size := range []int{101, 1500, 65507} {
		d.say(strings.Repeat("x", size), 1)
	}
	d.say(strings.Repeat("y", 100), 1)
	d.expect(strings.Repeat("y", 100))
	if n := s.dropped(dropTooLarge); n != 3 || s.adapter.taken.Load() != 1 {
		t.Errorf("%d dropped, %d taken", n, s.adapter.taken.Load())
	}
	if !s.log.Has("datagrams dropped", "reason=too_large") {
		t.Errorf("logged: %s", s.log)
	}
}

func TestDropsAreLoggedOnceASecond(t *testing.T) {
	var w warnings
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		reason dropReason
		after  time.Duration
		want   bool
	}{
		{dropTooLarge, 0, true}, {dropTooLarge, 0, false}, {dropPanic, 0, true}, {dropTooLarge, time.Second - 1, false},
		{dropTooLarge, time.Second, true}, {dropTooLarge, 2*time.Second - 1, false}, {dropTooLarge, -time.Hour, true},
	} {
		if got := w.due(c.reason, now.Add(c.after)); got != c.want {
			t.Errorf("%s after %v: %v, want %v", c.reason, c.after, got, c.want)
		}
	}
}

// However large the frames of connections may be.
func TestDatagramOfTheLargestSize(t *testing.T) {
	s := newPacketShell(t, 65536)
	d := s.dial("127.0.0.1")
	for _, size := range []int{largestDatagram + 1, 65507} {
		d.say("hold"+strings.Repeat("x", size-4), 1)
	}
	s.until("dropped", 2, func() int { return s.dropped(dropTooLarge) })
	d.say("hold"+strings.Repeat("x", largestDatagram-4), 1)
	s.until("taken", 1, func() int { return int(s.adapter.taken.Load()) })
	s.release()
	b := make([]byte, 65536)
	if n, err := d.Read(b); n != largestDatagram || err != nil {
		t.Errorf("answer of %d bytes, %v", n, err)
	}
}

func TestAnswerLargerThanTheDatagramIsRefused(t *testing.T) {
	s := newPacketShell(t, 100)
	d := s.dial("127.0.0.1")
	d.say("long", 1)
	d.say("hello", 1)
	d.expect("hello")
	if n := testutil.ToFloat64(s.options.Metrics.answersFailed); n != 1 {
		t.Errorf("%v answers failed, want 1", n)
	}
}

func TestPanicOfADatagramIsContained(t *testing.T) {
	s := newPacketShell(t, 100)
	d := s.dial("127.0.0.1")
	d.say("panic", 1)
	d.say("later panic", 1)
	s.release()
	s.until("panics", 2, func() int { return s.dropped(dropPanic) })
	d.say("hello", 1)
	d.expect("hello")
	if !s.log.Has("datagram panicked", "a bug in the adapter") {
		t.Errorf("logged: %s", s.log)
	}
}

// One address may have a part of the places, and all together no more than there are. What finds none waits in the
// socket.
func TestDatagramsInHandAreBounded(t *testing.T) {
	s := newPacketShell(t, 100)
	inHand := func() int { return int(testutil.ToFloat64(s.options.Metrics.inHand)) }
	greedy := s.dial("127.0.0.1")
	greedy.say("hold", maxInHandOfAddress+50)
	s.until("drops", 50, func() int { return s.dropped(dropAddressBusy) })
	other := s.dial("127.0.0.2")
	other.say("hello", 1)
	other.expect("hello")

	s.dial("127.0.0.3").say("hold", maxInHand-maxInHandOfAddress)
	s.until("in hand", maxInHand, inHand)
	other.say("hello", 1)
	s.until("waits", 1, func() int { return int(testutil.ToFloat64(s.options.Metrics.waits)) })
	if n := inHand(); n != maxInHand || s.adapter.taken.Load() != maxInHand+1 {
		t.Errorf("%d in hand, %d taken", n, s.adapter.taken.Load())
	}
	s.release()
	other.expect("hello")
	greedy.expect("hold")
}

// A server that waits for a place stops all the same.
func TestDrainWhileAllPlacesAreTaken(t *testing.T) {
	s := newPacketShell(t, 100)
	for _, ip := range []string{"127.0.0.1", "127.0.0.2"} {
		s.dial(ip).say("hold", maxInHand/2)
	}
	late := s.dial("127.0.0.3")
	late.say("hello", 1)
	s.until("waits", 1, func() int { return int(testutil.ToFloat64(s.options.Metrics.waits)) })
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v", err)
	}
	if n := s.adapter.taken.Load(); n != maxInHand {
		t.Errorf("%d datagrams taken, want %d", n, maxInHand)
	}
}

// What is in hand when the server stops is still answered, and nothing is taken any more.
func TestDrainOfDatagrams(t *testing.T) {
	s := newPacketShell(t, 100)
	d := s.dial("127.0.0.1")
	d.say("hold on", 1)
	s.until("in hand", 1, func() int { return int(testutil.ToFloat64(s.options.Metrics.inHand)) })
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain with a datagram in hand: %v", err)
	}
	if _, err := d.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	s.release()
	d.expect("hold on")
	s.drain()
	if n := s.adapter.taken.Load(); n != 1 {
		t.Errorf("%d datagrams taken, want 1", n)
	}
	late, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(late)
	if _, err := late.Write(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a socket that comes too late: %v", err)
	}
}
