package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"
)

// envelope is a small transport: a line with the address for which the connection speaks stands before the protocol.
//
//	192.0.2.1   that address
//	nonsense    is refused
//	panic       is a bug
type envelope struct{ relays bool }

const openTimeout = 5 * time.Second

func (e envelope) Relays(net.Addr) bool { return e.relays }

func (e envelope) Open(conn net.Conn) (net.Conn, string, error) {
	line, b := "", make([]byte, 1)
	for !strings.HasSuffix(line, "\n") {
		if _, err := io.ReadFull(conn, b); err != nil {
			return nil, "", err
		}
		line += string(b)
	}
	ip := net.ParseIP(strings.TrimSpace(line))
	switch {
	case line == "panic\n":
		panic("a bug in the transport")
	case ip == nil:
		return nil, "", &OpenError{Reason: ReasonProxyHeader, Err: errors.New("no address")}
	}
	return &spokenFor{conn, &net.TCPAddr{IP: ip, Port: 1}}, "letter", nil
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
		d.send("192.0.2.7")
		d.say("=a")
		d.say("hello")
		synctest.Wait()
		s.mu.Lock()
		c := s.devices["a"]
		s.mu.Unlock()
		if c.Transport() != "letter" || c.RemoteAddr().String() != "192.0.2.7:1" {
			t.Errorf("transport %q, remote %v", c.Transport(), c.RemoteAddr())
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
		d.send("192.0.2.7")
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
		s.dial() // says nothing
		d := s.dial()
		d.send("192.0.2.7")
		d.say("=a")
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Drain(ctx); err != nil || time.Since(begun) > 0 {
			t.Errorf("drain: %v after %v", err, time.Since(begun))
		}
		s.Close(ctx)
		if s.closed(ReasonShutdown) != 1 || s.closedVia("letter", ReasonShutdown) != 1 {
			t.Errorf("%d and %v closed by the stop", s.closed(ReasonShutdown), s.closedVia("letter", ReasonShutdown))
		}
	})
}

// A balancer's address may fail as often as its devices do, and each device's own address is held to the limit.
func TestGuardLooksBehindARelay(t *testing.T) {
	withEnvelopes(t, envelope{relays: true}, func(s *shell) {
		for i := range failureBurst + 10 {
			d := s.dial()
			d.send(fmt.Sprintf("192.0.2.%d", i%2))
			_, _ = io.WriteString(d.Conn, "bye\n") // it may be refused already
			d.awaitEnd()
		}
		for range failureBurst {
			d := s.dial()
			d.send("192.0.2.1")
			_, _ = io.WriteString(d.Conn, "bye\n") // it may be refused already
			d.awaitEnd()
		}
		synctest.Wait()
		if s.closed(ReasonRateLimited) == 0 || !s.log.contains("too many connections without a login", "192.0.2.1:1") {
			t.Error("the address behind the balancer was never refused")
		}
		d := s.dial()
		d.send("198.51.100.1")
		d.say("=another")
	})
}
