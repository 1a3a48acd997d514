package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// awaitEnd reads until the server has closed the connection, however long that takes.
func (d *device) awaitEnd() {
	d.Helper()
	if b, err := io.ReadAll(d.Conn); len(b) > 0 || err != nil {
		d.Errorf("read %q, %v, want the end", b, err)
	}
}

// drain drains without a limit of time and returns when that is done.
func (s *shell) drain() {
	s.Helper()
	if err := s.Drain(context.Background()); err != nil {
		s.Errorf("drain: %v", err)
	}
}

func TestDrainWakesIdleSessions(t *testing.T) {
	s := onSockets(t, 100)
	var devices []*device
	for i := range 20 {
		devices = append(devices, s.login(fmt.Sprint(i)), s.dial())
	}
	testkit.Eventually(s, "all connected", func() bool { return s.Connections() == 40 })
	s.drain()
	if n := s.closed(ReasonShutdown); n != 40 {
		t.Errorf("%d sessions ended for the shutdown", n)
	}
	if n := s.Connections(); n != 40 {
		t.Errorf("%d sockets open after Drain, want all 40", n)
	}
	if _, err := net.Dial("tcp", s.listener.Addr().String()); err == nil {
		t.Error("the listener still takes connections")
	}
	s.Close(context.Background())
	for _, d := range devices {
		d.expectEnd()
	}
}

// A session that owes an answer gives it before Drain returns.
func TestDrainWaitsForSessionsAtWork(t *testing.T) {
	inBubble(t, 10, func(s *shell) {
		s.login("idle")
		d := s.login("a")
		d.send("hold")
		synctest.Wait()
		drained := make(chan struct{})
		go func() { s.drain(); close(drained) }()
		time.Sleep(time.Hour)
		select {
		case <-drained:
			t.Fatal("drained while a session was at work")
		default:
		}
		close(s.adapter.release)
		d.expect("hold")
		<-drained
	})
}

func TestDrainIsBounded(t *testing.T) {
	inBubble(t, 10, func(s *shell) {
		d := s.login("a")
		d.send("hold")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		start := time.Now()
		err := s.Drain(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("drain: %v after %v", err, time.Since(start))
		}
		// Its socket is closed all the same, so that it cannot answer any more.
		s.Close(context.Background())
		d.awaitEnd()
		close(s.adapter.release)
	})
}

// A fleet's sockets are closed one after the other, in a time that is bounded however large the fleet is.
func TestCloseIsSpreadOverTime(t *testing.T) {
	for _, fleet := range []int{1, 10, 1999, 2000, 5000} {
		t.Run(fmt.Sprint(fleet), func(t *testing.T) {
			inBubble(t, fleet, func(s *shell) {
				ends := make(chan time.Time, fleet)
				for i := range fleet {
					d := s.login(fmt.Sprint(i))
					go func() { d.awaitEnd(); ends <- time.Now() }()
				}
				s.drain()
				start := time.Now()
				s.Close(context.Background())
				synctest.Wait()
				together := make(map[time.Duration]int)
				for range fleet {
					together[(<-ends).Sub(start)]++
				}
				most := 1 + fleet/2000
				for at, n := range together {
					if n > most || at > closeSpread {
						t.Errorf("%d sockets closed at %v, want at most %d and within %v", n, at, most, closeSpread)
					}
				}
			})
		})
	}
}

// When there is no time left the rest is closed at once.
func TestCloseIsBounded(t *testing.T) {
	inBubble(t, 2000, func(s *shell) {
		var ended sync.WaitGroup
		for i := range 2000 {
			d := s.login(fmt.Sprint(i))
			ended.Go(d.awaitEnd)
		}
		s.drain()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		s.Close(ctx)
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("closing took %v", took)
		}
		ended.Wait()
	})
}

// Connections that arrive while draining begins are either served to their end or refused; none is left.
func TestDrainRacesWithAccept(t *testing.T) {
	for range 20 {
		s := onSockets(t, 10_000)
		stop := make(chan struct{})
		var dialers sync.WaitGroup
		for range 4 {
			dialers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c, err := net.Dial("tcp", s.listener.Addr().String())
					if err != nil {
						continue
					}
					defer c.Close()
					_, _ = c.Write([]byte("=a\nhello\n"))
				}
			})
		}
		testkit.Eventually(s, "connections", func() bool { return s.Connections() > 5 })
		s.stop()
		close(stop)
		dialers.Wait()
	}
}

func TestAfterDrainConnectionsAreRefused(t *testing.T) {
	inBubble(t, 10, func(s *shell) {
		s.drain()
		device, server := net.Pipe()
		defer device.Close()
		go s.handle(server, nil)
		if _, err := device.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v, want the end", err)
		}
		if s.Connections() != 0 || s.closed(ReasonShutdown) != 1 {
			t.Errorf("%d connections, %d refused", s.Connections(), s.closed(ReasonShutdown))
		}
		// A listener that comes too late is closed.
		late := ingesttest.NewListener()
		s.Serve(late, nil)
		if _, err := late.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	})
}

func TestDrainAndCloseTwice(t *testing.T) {
	inBubble(t, 10, func(s *shell) {
		d := s.login("a")
		s.stop()
		d.awaitEnd()
		s.stop()
	})
}
