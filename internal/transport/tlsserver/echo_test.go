package tlsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestMain(m *testing.M) {
	if serveIdle() {
		return
	}
	goleak.VerifyTestMain(m)
}

// patienceOfTests is how long a test waits for what comes soon.
const patienceOfTests = 30 * time.Second

// service is a server that sends back what devices send.
type service struct {
	*Server
	address string
	log     *testkit.Log
	timeout time.Duration // of handshakes
	detect  bool
	quiet   bool
	stop    context.CancelFunc
	results chan error // of handshakes
	conns   chan *Conn // after their handshakes
}

type serviceOption func(*service, *Options)

func detecting(s *service, _ *Options) { s.detect = true }

func timeout(d time.Duration) serviceOption { return func(s *service, _ *Options) { s.timeout = d } }

func minVersion(v uint16) serviceOption { return func(_ *service, o *Options) { o.MinVersion = v } }

func clientAuth(auth ClientAuth, ca string) serviceOption {
	return func(_ *service, o *Options) { o.ClientAuth, o.ClientCAFile = auth, ca }
}

// startService serves with the certificate files in dir until the test ends.
func startService(t testing.TB, dir string, change ...serviceOption) *service {
	t.Helper()
	s := &service{log: testkit.NewLog(t), timeout: patienceOfTests, results: make(chan error, 1024),
		conns: make(chan *Conn, 1024)}
	o := Options{
		CertFile: dir + "/tls.crt", KeyFile: dir + "/tls.key", Metrics: NewMetrics(prometheus.NewRegistry()),
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(s, &o)
	}
	var err error
	if s.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	var all sync.WaitGroup
	all.Go(func() { s.accept(ctx, l, &all) })
	t.Cleanup(func() {
		cancel()
		l.Close()
		all.Wait()
	})
	return s
}

func (s *service) accept(ctx context.Context, l net.Listener, all *sync.WaitGroup) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		conn := s.Wrap(raw)
		if s.detect {
			conn = s.Detect(raw)
		}
		if s.quiet {
			conn.Quiet()
		}
		all.Go(func() { s.serve(ctx, conn) })
	}
}

func (s *service) serve(ctx context.Context, conn *Conn) {
	defer conn.Close()
	handshake, cancel := context.WithTimeout(ctx, s.timeout)
	err := conn.Handshake(handshake)
	cancel()
	s.tell(conn, err)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
}

// tell is for tests that ask; those of many connections do not.
func (s *service) tell(conn *Conn, err error) {
	select {
	case s.results <- err:
	default:
	}
	if err == nil {
		select {
		case s.conns <- conn:
		default:
		}
	}
}

// result is how the next handshake ends.
func (s *service) result(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.results:
		return err
	case <-time.After(patienceOfTests):
		t.Fatal("no handshake has ended")
		return nil
	}
}

// fails expects the next handshake to fail for the reason, with a cause that holds the text, counted and logged.
func (s *service) fails(t testing.TB, reason Reason, cause string) {
	t.Helper()
	err := s.result(t)
	var e *HandshakeError
	if !errors.As(err, &e) {
		t.Fatalf("handshake ended with %v, not a HandshakeError", err)
	}
	if e.Reason != reason || !strings.Contains(e.Cause, cause) {
		t.Errorf("reason %s, cause %q (%v), want %s, %q", e.Reason, e.Cause, e.Err, reason, cause)
	}
	if n := testutil.ToFloat64(s.options.Metrics.handshakes.WithLabelValues(string(reason))); n != 1 {
		t.Errorf("counted %v times", n)
	}
	if reason != ReasonShutdown && !strings.Contains(s.log.String(), "reason="+string(reason)) {
		t.Errorf("not logged: %s", s.log)
	}
}

// dial opens a TLS connection to the service.
func (s *service) dial(t testing.TB, c *tls.Config) (*tls.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patienceOfTests))
	conn := tls.Client(raw, c)
	return conn, conn.Handshake()
}

// echo sends a message and expects it back.
func echo(t testing.TB, conn net.Conn, message string) {
	t.Helper()
	if err := exchange(conn, message); err != nil {
		t.Fatal(err)
	}
}

func exchange(conn net.Conn, message string) error {
	if _, err := io.WriteString(conn, message); err != nil {
		return err
	}
	answer := make([]byte, len(message))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != message {
		return errors.New("another answer: " + string(answer))
	}
	return nil
}

// isTimeout reports whether a read ended at its deadline.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

var discard = slog.New(slog.DiscardHandler)

func newTestMetrics() *Metrics { return NewMetrics(prometheus.NewRegistry()) }
