package ingest

import (
	"net"
	"sync"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestPanicEndsItsConnectionOnly(t *testing.T) {
	s := onSockets(t, 10)
	other := s.login("other")
	for range 3 {
		d := s.login("buggy")
		d.send("panic")
		d.expectEnd()
	}
	s.expectClosed(ReasonPanic, 3)
	if !s.log.Has("session panicked", `panic="a bug in the adapter"`, "lineSession", "server_test.go",
		"remote=127.0.0.1:") {
		t.Errorf("logged: %s", s.log)
	}
	other.say("unharmed")
	testkit.Eventually(s, "one connection", func() bool { return s.Connections() == 1 })
	s.login("buggy").say("is welcome again")
}

func TestCloseReasons(t *testing.T) {
	s := onSockets(t, 10)
	s.login("a").Conn.Close()
	s.expectClosed(ReasonPeerClosed, 1)

	reset := s.login("b")
	if err := reset.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	reset.Conn.Close()
	s.expectClosed(ReasonPeerClosed, 2)

	d := s.login("c")
	d.send("bye")
	d.expectEnd()
	s.expectClosed(reasonBye, 1)

	older := s.login("d")
	s.login("d")
	older.expectEnd()
	s.expectClosed(ReasonTakenOver, 1)
}

func TestCloseReasonIdle(t *testing.T) {
	inBubble(t, 10, func(s *shell) {
		d := s.login("a")
		d.awaitEnd()
		s.expectClosed(ReasonIdleTimeout, 1)
	})
}

// The older session is at work while its device comes back. It cannot answer any more, and its end leaves the
// newer one alone.
func TestTakeOverOfASessionAtWork(t *testing.T) {
	s := onSockets(t, 10)
	older := s.login("a")
	older.send("hold")
	testkit.Eventually(s, "older at work", func() bool { return s.adapter.holding.Load() == 1 })
	newer := s.login("a")
	older.expectEnd()
	if n := s.Connections(); n != 1 {
		t.Errorf("%d connections: the older one holds a place of the limit", n)
	}
	close(s.adapter.release)
	s.expectClosed(ReasonTakenOver, 1)
	testkit.Eventually(s, "older gone", func() bool { return s.Connections() == 1 })
	newer.say("mine")
	third := s.login("a")
	newer.expectEnd()
	third.say("mine now")
}

// The device has logged in at another instance.
func TestTakenOverElsewhere(t *testing.T) {
	s := onSockets(t, 10)
	older, other := s.login("a"), s.login("b")
	older.send("hold")
	testkit.Eventually(s, "older at work", func() bool { return s.adapter.holding.Load() == 1 })
	conn := s.connOf("a")
	conn.TakenOver("b") // whose connection this is not
	conn.TakenOver("a")
	older.expectEnd()
	close(s.adapter.release)
	s.expectClosed(ReasonTakenOver, 1)
	testkit.Eventually(s, "older gone", func() bool { return s.Connections() == 1 })
	newer := s.login("a")
	conn.TakenOver("a") // said late
	newer.say("mine")
	other.say("unharmed")
}

// connOf is the device's connection.
func (s *shell) connOf(device string) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[device]
}

// Many connections of one device at once: in the end one of them has it.
func TestTakeOverRace(t *testing.T) {
	s := onSockets(t, 1000)
	var all sync.WaitGroup
	for range 100 {
		d := s.dial()
		all.Go(func() { _, _ = d.Write([]byte("=a\n")) })
	}
	all.Wait()
	s.expectClosed(ReasonTakenOver, 99)
	testkit.Eventually(s, "one connection", func() bool { return s.Connections() == 1 })
}

// A device that has gone does not stay registered; neither does one whose connection never logged in.
func TestDevicesAreForgotten(t *testing.T) {
	s := onSockets(t, 1000)
	for i := range 50 {
		d := s.login(string(rune('A' + i)))
		d.Conn.Close()
		s.dial().Conn.Close()
	}
	s.expectClosed(ReasonPeerClosed, 100)
	testkit.Eventually(s, "no connection", func() bool { return s.Connections() == 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.devices) != 0 {
		t.Errorf("%d devices registered", len(s.devices))
	}
}
