package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"
)

// envelope is a small transport of two stages. Before the protocol stand a line with the address for which the
// connection speaks, and a seal.
//
//	192.0.2.1   that address
//	own         nobody's: the relay speaks for itself
//	nonsense    is refused
//	panic       is a bug
//	wait        has it wait for something else than the connection
//
//	sealed      is good
//	broken      is refused
type envelope struct{ relays bool }

const openTimeout = 5 * time.Second

func (e envelope) Relays(net.Addr) bool { return e.relays }

func (e envelope) Open(ctx context.Context, conn net.Conn, admit func(net.Addr) error) (Opened, error) {
	line, err := readLine(conn)
	if err != nil {
		return Opened{}, err
	}
	ip := net.ParseIP(line)
	switch {
	case line == "own":
	case line == "panic":
		panic("a bug in the transport")
	case line == "wait":
		<-ctx.Done()
		return Opened{}, ctx.Err()
	case ip == nil:
		return Opened{}, &OpenError{Reason: ReasonProxyHeader, Err: errors.New("no address")}
	default:
		conn = &spokenFor{conn, &net.TCPAddr{IP: ip, Port: 1}}
		if err := admit(conn.RemoteAddr()); err != nil {
			return Opened{}, err
		}
	}
	switch line, err = readLine(conn); {
	case err != nil:
		return Opened{}, err
	case line != "sealed":
		return Opened{}, &OpenError{Reason: ReasonTLS, Err: errors.New("no seal")}
	}
	return Opened{Conn: conn, Name: "letter", Verify: notMallory}, nil
}

func readLine(conn net.Conn) (string, error) {
	line, b := "", make([]byte, 1)
	for {
		if _, err := io.ReadFull(conn, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return line, nil
		}
		line += string(b)
	}
}

var errMallory = errors.New("it is mallory")

func notMallory(device string) error {
	if device == "mallory" {
		return errMallory
	}
	return nil
}

type spokenFor struct {
	net.Conn
	remote net.Addr
}

func (c *spokenFor) RemoteAddr() net.Addr { return c.remote }

// withEnvelopes is a server whose connections come via an envelope.
func withEnvelopes(t *testing.T, e envelope, test func(*shell)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newShell(t, ingesttest.NewListener(), 1000)
		s.options.OpenTimeout = openTimeout
		l := ingesttest.NewListener()
		s.Serve(l, e)
		s.listener = l
		test(s)
		s.stop()
	})
}

func (s *shell) closedVia(transport string, reason CloseReason) float64 {
	return testutil.ToFloat64(s.options.Metrics.ended.WithLabelValues(string(reason), transport))
}

func TestTransportComesBeforeTheProtocol(t *testing.T) {
	withEnvelopes(t, envelope{}, func(s *shell) {
		d := s.dial()
		d.send("192.0.2.7\nsealed")
		d.say("=a")
		d.say("hello")
		synctest.Wait()
		s.mu.Lock()
		c := s.devices["a"]
		s.mu.Unlock()
		if c.Transport() != "letter" || c.RemoteAddr().String() != "192.0.2.7:1" {
			t.Errorf("transport %q, remote %v", c.Transport(), c.RemoteAddr())
		}
		if c.Verify("a") != nil || !errors.Is(c.Verify("mallory"), errMallory) {
			t.Error("the transport is not asked who it is")
		}
		d.say("after")
		d.send("bye")
		d.awaitEnd()
		synctest.Wait()
		if n := s.closedVia("letter", reasonBye); n != 1 {
			t.Errorf("%v connections closed", n)
		}
	})
}

// The deadline of the opening does not go on after it.
func TestTransportLeavesNoDeadline(t *testing.T) {
	withEnvelopes(t, envelope{}, func(s *shell) {
		d := s.dial()
		d.send("192.0.2.7\nsealed")
		time.Sleep(2 * openTimeout)
		d.say("=late")
	})
}

func TestTransportThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		line   string
		reason CloseReason
	}{
		"refused": {"nonsense", ReasonProxyHeader},
		"panic":   {"panic", ReasonPanic},
		"silent":  {"", ReasonIdleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			withEnvelopes(t, envelope{}, func(s *shell) {
				d := s.dial()
				if c.line != "" {
					d.send(c.line)
				}
				d.awaitEnd()
				synctest.Wait()
				if n := s.closed(c.reason); n != 1 {
					t.Errorf("%d connections closed as %s", n, c.reason)
				}
				if s.Connections() != 0 {
					t.Errorf("%d connections left", s.Connections())
				}
			})
		})
	}
}

// One that hangs in its opening holds up nobody, and nobody's stop.
func TestTransportsOpenSideBySide(t *testing.T) {
	withEnvelopes(t, envelope{}, func(s *shell) {
		s.dial()                   // says nothing
		s.dial().send("192.0.2.7") // and no seal
		s.dial().send("wait")
		d := s.dial()
		d.send("192.0.2.7\nsealed")
		d.say("=a")
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Drain(ctx); err != nil || time.Since(begun) > 0 {
			t.Errorf("drain: %v after %v", err, time.Since(begun))
		}
		s.Close(ctx)
		if s.closed(ReasonShutdown) != 3 || s.closedVia("letter", ReasonShutdown) != 1 {
			t.Errorf("%d and %v closed by the stop", s.closed(ReasonShutdown), s.closedVia("letter", ReasonShutdown))
		}
	})
}

// A balancer's address may fail as often as its devices do, and each device's own address is held to the limit.
func TestConnLimiterLooksBehindARelay(t *testing.T) {
	withEnvelopes(t, envelope{relays: true}, func(s *shell) {
		for i, end := range []string{"sealed\nbye\n", "broken\n"} { // in the session, and in the transport
			a, b, refused := fmt.Sprintf("192.0.2.%d", 2*i), fmt.Sprintf("192.0.2.%d", 2*i+1), s.closed(ReasonRateLimited)
			for n := range admitRate.Burst + 10 {
				s.fail([]string{a, b}[n%2], end)
			}
			synctest.Wait()
			if s.closed(ReasonRateLimited) != refused {
				t.Errorf("%q: the two are taken for one", end)
			}
			for range admitRate.Burst {
				s.fail(a, end)
			}
			synctest.Wait()
			if s.closed(ReasonRateLimited) == refused || !s.log.Has("too many connections without a login", a+":1") {
				t.Errorf("%q: the address behind the balancer was never refused", end)
			}
			if n := s.turned.Load(); n != int64(s.closed(ReasonRateLimited)) {
				t.Errorf("%q: told of %d, want %v", end, n, s.closed(ReasonRateLimited))
			}
		}
		d := s.dial()
		d.send("198.51.100.1\nsealed")
		d.say("=another")
	})
}

// fail has a connection of the address end without a login.
func (s *shell) fail(address, end string) {
	d := s.dial()
	d.send(address)
	_, _ = io.WriteString(d.Conn, end) // it may be refused already
	d.awaitEnd()
}

// A client that says nothing more once the balancer has named it holds no more places than one that connects directly:
// when there is no room, its connections go before those of another client, which are older.
func TestOneClientBehindARelayIsTheFirstToGo(t *testing.T) {
	withEnvelopes(t, envelope{relays: true}, func(s *shell) {
		other := s.dial()
		other.send("192.0.2.2\nsealed")
		other.say("=other")
		for range 1100 {
			s.dial().send("192.0.2.1")
		}
		synctest.Wait()
		if open := s.Connections(); open != 1000 || s.closed(ReasonCrowdedOut) != 101 {
			t.Errorf("%d connections are open, %d are gone", open, s.closed(ReasonCrowdedOut))
		}
		other.say("still here")
	})
}

// A relay's own connection is a health check, however it ends and however often, unless somebody logs in on it.
func TestRelaysOwnConnections(t *testing.T) {
	withEnvelopes(t, envelope{relays: true}, func(s *shell) {
		for range 2 * admitRate.Burst {
			d := s.dial()
			d.send("own\nsealed\nbye")
			d.awaitEnd()
		}
		synctest.Wait()
		if n := s.closedVia("letter", ReasonHealthCheck); n != float64(2*admitRate.Burst) {
			t.Errorf("%v health checks", n)
		}
		d := s.dial()
		d.send("own\nsealed")
		d.say("=a")
		d.send("bye")
		d.awaitEnd()
		synctest.Wait()
		if n := s.closedVia("letter", reasonBye); n != 1 {
			t.Errorf("%v sessions ended", n)
		}
	})
}
