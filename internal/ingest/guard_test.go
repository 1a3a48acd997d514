package ingest

import (
	"net"
	"testing"
	"time"
)

func tcp(address string) net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(address), Port: 40000}
}

func TestGuardStopsAnAddressThatNeverLogsIn(t *testing.T) {
	g, now := newGuard(1_000_000), time.Unix(1000, 0)
	scanner, tracker := tcp("192.0.2.1"), tcp("192.0.2.2")
	for i := range failureBurst {
		if !g.admits(scanner, now) {
			t.Fatalf("refused after %d failures", i)
		}
		g.note(scanner, false, now)
	}
	if g.admits(scanner, now) {
		t.Error("admitted beyond the burst")
	}
	if !g.admits(tracker, now) {
		t.Error("another address is refused")
	}
	if now = now.Add(time.Second); !g.admits(scanner, now) {
		t.Error("refused after a second")
	}
	g.note(scanner, false, now)
	if g.admits(scanner, now) {
		t.Error("more than one in that second")
	}
}

func TestGuardForgivesAnAddressThatAFleetShares(t *testing.T) {
	g, now := newGuard(1_000_000), time.Unix(1000, 0)
	shared := tcp("198.51.100.7")
	for i := range 100 * failureBurst {
		if !g.admits(shared, now) {
			t.Fatalf("refused after %d connections", i)
		}
		g.note(shared, i%20 == 0, now) // one login in twenty
	}
}

func TestGuardTakesANetworkOfIPv6ForOneAddress(t *testing.T) {
	g, now := newGuard(1_000_000), time.Unix(1000, 0)
	for i := range failureBurst {
		ip := net.ParseIP("2001:db8::")
		ip[15] = byte(i)
		g.note(&net.TCPAddr{IP: ip}, false, now)
	}
	if g.admits(tcp("2001:db8::ffff"), now) {
		t.Error("admitted")
	}
	if !g.admits(tcp("2001:db8:0:1::1"), now) {
		t.Error("another network is refused")
	}
	if mapped := (&net.TCPAddr{IP: net.IPv4(192, 0, 2, 9).To16()}); !g.admits(mapped, now) {
		t.Error("an IPv4 address is refused")
	}
}

// However many connections of an address were open already, it is not refused for longer than a few seconds after the
// last failure.
func TestGuardForgivesABurst(t *testing.T) {
	g, now := newGuard(1_000_000), time.Unix(1000, 0)
	fleet := tcp("198.51.100.7")
	for range 10_000 {
		g.admits(fleet, now)
	}
	for range 10_000 {
		g.note(fleet, false, now.Add(30*time.Second))
	}
	if !g.admits(fleet, now.Add(33*time.Second)) {
		t.Error("refused")
	}
}

func TestGuardLeavesRoomForOtherAddresses(t *testing.T) {
	g, now := newGuard(1000), time.Unix(1000, 0)
	flood, tracker := tcp("192.0.2.1"), tcp("192.0.2.2")
	admitted := 0
	for range 900 {
		if g.admits(flood, now) {
			admitted++
		}
	}
	if admitted != 500 || !g.admits(tracker, now) {
		t.Errorf("%d connections of one address wait for their login", admitted)
	}
	g.note(flood, true, now)
	if !g.admits(flood, now) {
		t.Error("refused although one has logged in")
	}
}

func TestGuardClosesAtAccept(t *testing.T) {
	s := onSockets(t, 1000)
	fleet := s.login("tracker") // stays connected throughout
	for range failureBurst + 60 {
		d := s.dial()
		d.CloseWrite()
		d.expectEnd()
	}
	s.eventually("connections are rate limited", func() bool { return s.closed(ReasonRateLimited) >= 5 })
	if n := s.closed(ReasonPeerClosed); n < failureBurst {
		t.Errorf("%d connections were heard, want %d or more", n, failureBurst)
	}
	if !s.log.contains("too many connections without a login") {
		t.Error("nothing logged")
	}
	fleet.say("still here")
}

// CloseWrite ends what the device sends.
func (d *device) CloseWrite() {
	if err := d.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		d.Log(err) // the server was faster
	}
}
