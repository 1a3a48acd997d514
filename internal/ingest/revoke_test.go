package ingest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func nobody(string) bool { return false }

func TestRevokeClosesUnknownDevicesOnly(t *testing.T) {
	s := onSockets(t, 100)
	gone, kept, anonymous := s.login("gone"), s.login("kept"), s.dial()
	testkit.Eventually(s, "all connected", func() bool { return s.Connections() == 3 })
	if n := s.Revoke(context.Background(), func(device string) bool { return device != "gone" }); n != 1 {
		t.Errorf("%d revoked", n)
	}
	gone.expectEnd()
	s.expectClosed(ReasonRevoked, 1)
	kept.say("still here")
	anonymous.say("=kept too")
	testkit.Eventually(s, "two connections", func() bool { return s.Connections() == 2 })
	if n := s.Revoke(context.Background(), func(string) bool { return true }); n != 0 {
		t.Errorf("%d revoked", n)
	}
}

// A session that owes an answer cannot give it any more.
func TestRevokeOfASessionAtWork(t *testing.T) {
	s := onSockets(t, 10)
	d := s.login("a")
	d.send("hold")
	testkit.Eventually(s, "at work", func() bool { return s.adapter.holding.Load() == 1 })
	if n := s.Revoke(context.Background(), nobody); n != 1 {
		t.Errorf("%d revoked", n)
	}
	d.expectEnd()
	close(s.adapter.release)
	s.expectClosed(ReasonRevoked, 1)
	testkit.Eventually(s, "no connection", func() bool { return s.Connections() == 0 })
}

// Sockets are closed one after the other, in a time that is bounded however many they are, while others go on.
func TestRevokeIsSpreadOverTime(t *testing.T) {
	const fleet = 5000
	inBubble(t, fleet+1, func(s *shell) {
		ends := make(chan time.Time, fleet)
		for i := range fleet {
			d := s.login(fmt.Sprint(i))
			go func() { d.awaitEnd(); ends <- time.Now() }()
		}
		kept := s.login("kept")
		start := time.Now()
		revoked := make(chan int)
		go func() {
			revoked <- s.Revoke(context.Background(), func(device string) bool { return device == "kept" })
		}()
		time.Sleep(closeSpread / 2)
		kept.say("served meanwhile")
		if n := <-revoked; n != fleet {
			t.Errorf("%d revoked", n)
		}
		synctest.Wait()
		together := make(map[time.Duration]int)
		for range fleet {
			together[(<-ends).Sub(start)]++
		}
		for at, n := range together {
			if n > 1+fleet/2000 || at > closeSpread {
				t.Errorf("%d sockets closed at %v", n, at)
			}
		}
		s.expectClosed(ReasonRevoked, fleet)
	})
}

func TestRevokeEndsWithItsContext(t *testing.T) {
	inBubble(t, 1000, func(s *shell) {
		var ended sync.WaitGroup
		for i := range 1000 {
			d := s.login(fmt.Sprint(i))
			ended.Go(d.awaitEnd)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond+closeInterval/2)
		defer cancel()
		start := time.Now()
		if n := s.Revoke(ctx, nobody); n != 101 || time.Since(start) > 101*time.Millisecond {
			t.Errorf("%d revoked in %v", n, time.Since(start))
		}
		synctest.Wait()
		if n := s.Connections(); n != 1000-101 {
			t.Errorf("%d connections left", n)
		}
		s.stop()
		ended.Wait()
	})
}

// Devices come, take over and go while others are revoked; nothing is left over and nothing is closed twice.
func TestRevokeRacesWithTakeOver(t *testing.T) {
	s := onSockets(t, 1000)
	var all sync.WaitGroup
	for i := range 100 {
		d := s.dial()
		all.Go(func() { _, _ = fmt.Fprintf(d.Conn, "=%d\n", i%10) })
	}
	for range 20 {
		s.Revoke(context.Background(), nobody)
	}
	all.Wait()
	testkit.Eventually(s, "all 100 are revoked or taken over", func() bool {
		s.Revoke(context.Background(), nobody)
		return s.closed(ReasonRevoked)+s.closed(ReasonTakenOver) == 100
	})
	testkit.Eventually(s, "none is left", func() bool { return s.Connections() == 0 })
}
