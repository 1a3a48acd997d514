package ingest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lineAdapter is a small protocol: a device sends lines and each is answered with itself.
//
//	=name   logs in as that device
//	+name   logs in as that device, which is trusted
//	proof   shows that it is one
//	hold    is answered after Release; "hold proof" is a proof too
//	panic   is a bug
//	bye     ends the connection
type lineAdapter struct {
	release chan struct{}
	holding atomic.Int64 // sessions that owe an answer
}

const reasonBye CloseReason = "bye"

func (a *lineAdapter) Open(c *Conn) Session { return &lineSession{a, c} }

type lineSession struct {
	*lineAdapter
	conn *Conn
}

func (s *lineSession) End(CloseReason) {}

func (s *lineSession) Step() CloseReason {
	line, err := s.read()
	if err != nil {
		return s.conn.Reason(err)
	}
	switch {
	case strings.HasPrefix(line, "="), strings.HasPrefix(line, "+"):
		if _, err := s.conn.TakeOver(line[1:], line[0] == '+'); err != nil {
			return s.conn.Reason(err)
		}
	case line == "proof":
		s.conn.Prove()
	case line == "panic":
		panic("a bug in the adapter")
	case line == "bye":
		return reasonBye
	case line == "hold", line == "hold proof":
		s.holding.Add(1)
		<-s.release
		s.holding.Add(-1)
		if line == "hold proof" {
			s.conn.Prove()
		}
	}
	if _, err := io.WriteString(s.conn, line+"\n"); err != nil {
		return s.conn.Reason(err)
	}
	return ""
}

func (s *lineSession) read() (string, error) {
	var line []byte
	b := make([]byte, 1)
	for {
		if err := s.conn.Await(time.Hour); err != nil {
			return "", err
		}
		if _, err := s.conn.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
}

// shell is a server of the small protocol.
type shell struct {
	testing.TB
	*Server
	adapter  *lineAdapter
	registry *prometheus.Registry
	listener net.Listener
	log      *testkit.Log
	turned   atomic.Int64 // away, before there was a session
}

func newShell(tb testing.TB, listener net.Listener, maxConnections int) *shell {
	s := &shell{TB: tb, adapter: &lineAdapter{release: make(chan struct{})}, registry: prometheus.NewRegistry(),
		listener: listener, log: testkit.NewLog(tb)}
	s.Server = New(Options{Adapter: s.adapter, MaxConnections: maxConnections,
		Metrics: NewMetrics(s.registry), Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		TurnedAway: func(net.Addr, string, CloseReason) { s.turned.Add(1) }})
	s.Serve(listener, nil)
	return s
}

// onSockets is a server on real sockets.
func onSockets(t *testing.T, maxConnections int) *shell {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newShell(t, l, maxConnections)
	t.Cleanup(s.stop)
	return s
}

// inBubble runs a test against a server in memory and in virtual time, and stops the server.
func inBubble(t *testing.T, maxConnections int, test func(*shell)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newShell(t, ingesttest.NewListener(), maxConnections)
		test(s)
		s.stop()
	})
}

// stop drains and closes; nothing may be left then.
func (s *shell) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		s.Errorf("drain: %v", err)
	}
	s.Close(ctx)
	if n := s.Connections(); n != 0 {
		s.Errorf("%d connections are left", n)
	}
	if len(s.devices) != 0 {
		s.Errorf("%d devices are left", len(s.devices))
	}
	if len(s.unproven) != 0 || s.loggedIn != 0 || s.ending != 0 {
		s.Errorf("%d unproven connections, %d logins and %d ends are left", len(s.unproven), s.loggedIn, s.ending)
	}
	if n := testutil.ToFloat64(s.options.Metrics.active); n != 0 {
		s.Errorf("connections_active is %v at the end", n)
	}
}

// closed is how often a connection has ended for the reason.
func (s *shell) closed(reason CloseReason) int {
	return int(testutil.ToFloat64(s.options.Metrics.ended.WithLabelValues(string(reason), plain)))
}

// expectClosed waits for the reasons' counts, which a session writes after its peer can see the end.
func (s *shell) expectClosed(reason CloseReason, want int) {
	s.Helper()
	testkit.Eventually(s, "connections_closed_total for "+string(reason), func() bool { return s.closed(reason) == want })
}

// device is the other end of a connection.
type device struct {
	*shell
	net.Conn
}

func (s *shell) dial() *device {
	s.Helper()
	d := &device{shell: s}
	if l, ok := s.listener.(*ingesttest.Listener); ok {
		d.Conn = l.Dial()
	} else {
		c, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			s.Fatal(err)
		}
		d.Conn = c
	}
	s.Cleanup(func() { _ = d.Conn.Close() })
	return d
}

func (s *shell) login(name string) *device {
	s.Helper()
	d := s.dial()
	d.say("=" + name)
	return d
}

// say sends a line and expects it back.
func (d *device) say(line string) {
	d.Helper()
	d.send(line)
	d.expect(line)
}

func (d *device) send(line string) {
	d.Helper()
	if _, err := io.WriteString(d.Conn, line+"\n"); err != nil {
		d.Fatalf("send %s: %v", line, err)
	}
}

func (d *device) expect(line string) {
	d.Helper()
	b := make([]byte, len(line)+1)
	if _, err := io.ReadFull(d.Conn, b); err != nil || string(b) != line+"\n" {
		d.Fatalf("answer %q, %v, want %q", b, err, line)
	}
}

// expectEnd reads until the server has closed the connection, which must come without another byte.
func (d *device) expectEnd() {
	d.Helper()
	if err := d.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		d.Fatal(err)
	}
	b, err := io.ReadAll(d.Conn)
	if e, ok := err.(net.Error); len(b) > 0 || ok && e.Timeout() {
		d.Fatalf("read %q, %v, want the end", b, err)
	}
}
