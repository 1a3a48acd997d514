package ingest

import (
	"net"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func tcp(address string) net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(address), Port: 40000}
}

func TestConnLimiterHurriesAnAddressThatNeverLogsIn(t *testing.T) {
	g, now := newConnLimiter(), time.Unix(1000, 0)
	scanner, tracker := tcp("192.0.2.1"), tcp("192.0.2.2")
	expect := func(want admission) {
		t.Helper()
		if got := g.admits(scanner, now); got != want {
			t.Errorf("%v, want %v", got, want)
		}
		if g.admits(tracker, now) != admitted {
			t.Error("another address is not admitted as before")
		}
	}
	for i := range admitRate.Burst {
		want := admitted
		if i >= unhurriedRate.Burst {
			want = admittedHurried
		}
		expect(want)
		g.note(scanner, false, now)
	}
	expect(refused)
	now = now.Add(time.Second)
	for i := range 100 {
		want := admittedHurried
		if i == 0 {
			want = admitted
		}
		expect(want)
		g.note(scanner, false, now)
	}
	expect(refused)
	now = now.Add(time.Second)
	expect(admitted)
}

// A good device behind the NAT of a bad one that connects at any rate gets in with some patience.
func TestConnLimiterAdmitsSomeOfAnyFlood(t *testing.T) {
	l, now := newConnLimiter(), time.Unix(1000, 0)
	nat := tcp("198.51.100.7")
	for range admitRate.Burst {
		l.note(nat, false, now)
	}
	in := 0
	for range 80 {
		if l.admits(nat, now) != refused {
			in++
		}
		l.note(nat, false, now)
	}
	if in != 20 {
		t.Errorf("%d of 80 are admitted, want one in four", in)
	}
}

func TestConnLimiterForgivesAnAddressThatAFleetShares(t *testing.T) {
	g, now := newConnLimiter(), time.Unix(1000, 0)
	shared := tcp("198.51.100.7")
	for i := range 100 * unhurriedRate.Burst {
		if g.admits(shared, now) != admitted {
			t.Fatalf("refused after %d connections", i)
		}
		g.note(shared, i%20 == 0, now) // one login in twenty
	}
}

func TestConnLimiterTakesANetworkOfIPv6ForOneAddress(t *testing.T) {
	g, now := newConnLimiter(), time.Unix(1000, 0)
	for i := range unhurriedRate.Burst {
		ip := net.ParseIP("2001:db8::")
		ip[15] = byte(i)
		g.note(&net.TCPAddr{IP: ip}, false, now)
	}
	if g.admits(tcp("2001:db8::ffff"), now) == admitted {
		t.Error("another address of the network is not hurried")
	}
	if g.admits(tcp("2001:db8:0:1::1"), now) != admitted {
		t.Error("another network is not")
	}
	if mapped := (&net.TCPAddr{IP: net.IPv4(192, 0, 2, 9).To16()}); g.admits(mapped, now) != admitted {
		t.Error("an IPv4 address is not")
	}
}

// However many connections of an address were open already, it is admitted again a moment after the last failure.
func TestConnLimiterForgivesABurst(t *testing.T) {
	g, now := newConnLimiter(), time.Unix(1000, 0)
	fleet := tcp("198.51.100.7")
	for range 10_000 {
		g.note(fleet, false, now)
	}
	if now = now.Add(3 * time.Second); g.admits(fleet, now) == refused {
		t.Error("refused after 3 s")
	}
	if now = now.Add(4 * time.Minute); g.admits(fleet, now) != admitted {
		t.Error("not patiently after 4 minutes")
	}
}

// failures have so many connections of the server's only address end without a login.
func (s *shell) failures(n int) {
	s.Helper()
	for range n {
		d := s.dial()
		d.CloseWrite()
		d.expectEnd()
	}
}

// A bad device behind the NAT of good ones does not keep them out, and a login ends the haste.
func TestFailuresLeaveTheAddressAdmitted(t *testing.T) {
	s := onSockets(t, 1000)
	s.failures(unhurriedRate.Burst + 60)
	for i := range 20 {
		s.login("good" + string(rune('a'+i))).say("hello")
	}
	if n := s.closed(ReasonRateLimited); n != 0 {
		t.Errorf("%d connections are refused", n)
	}
}

// Who says nothing has to be brief where many have not logged in.
func TestFailuresMakeTheServerImpatient(t *testing.T) {
	s := onSockets(t, 1000)
	c := &Conn{server: s.Server, since: time.Since(s.began)}
	if got := c.LoginTime(time.Minute); got < 59*time.Second {
		t.Errorf("patience %v before any failure", got)
	}
	s.failures(unhurriedRate.Burst + 10)
	if err := c.admit(tcp("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if got := c.LoginTime(time.Minute); got > hurriedLogin || got < hurriedLogin-time.Second {
		t.Errorf("patience %v after %d failures", got, unhurriedRate.Burst+10)
	}
}

func TestFloodOfFailuresIsRefused(t *testing.T) {
	s := onSockets(t, 1000)
	fleet := s.login("tracker") // stays connected throughout
	testkit.Eventually(s, "connections are rate limited", func() bool {
		s.failures(100)
		return s.closed(ReasonRateLimited) >= 5
	})
	if !s.log.Has("too many connections without a login") {
		t.Error("nothing logged")
	}
	if told, closed := s.turned.Load(), s.closed(ReasonRateLimited); told == 0 || told > int64(closed) {
		t.Errorf("told of %d of %v", told, closed)
	}
	fleet.say("still here")
}

// CloseWrite ends what the device sends.
func (d *device) CloseWrite() {
	if err := d.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		d.Log(err) // the server was faster
	}
}
