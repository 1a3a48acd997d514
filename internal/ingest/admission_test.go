package ingest

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// proven is a device that has logged in and shown to be one.
func (s *shell) proven(name string) *device {
	s.Helper()
	d := s.login(name)
	d.say("proof")
	return d
}

// When all places are proven devices', a stranger is closed without an answer, and all of them stay.
func TestConnectionLimit(t *testing.T) {
	s := onSockets(t, 3)
	devices := []*device{s.proven("a"), s.proven("b"), s.proven("c")}
	for range 5 {
		d := s.dial()
		d.send("=stranger")
		d.expectEnd()
	}
	s.expectClosed(ReasonLimit, 5)
	if !s.log.Has("connection limit reached", "limit=3") {
		t.Errorf("logged: %s", s.log)
	}
	testkit.Eventually(s, "three connections", func() bool { return s.Connections() == 3 })
	for _, d := range devices {
		d.say("still here")
	}
	devices[0].send("bye")
	devices[0].expectEnd()
	testkit.Eventually(s, "room for one", func() bool { return s.Connections() == 2 })
	s.login("d").say("hello")
}

// Those who only connect hold no more than the overflow reserve, however many they are.
func TestLobbyIsBounded(t *testing.T) {
	s := onSockets(t, 16)
	for i := range 16 {
		s.proven(fmt.Sprint("device", i))
	}
	for range 50 {
		s.dial()
	}
	s.expectClosed(ReasonCrowdedOut, 50-OverflowReserve(16))
	if n := s.Connections(); n != 16+OverflowReserve(16) {
		t.Errorf("%d connections", n)
	}
}

// A device whose old connection is dead without anybody knowing gets in although the server is full.
func TestProvenDeviceComesBackToAFullServer(t *testing.T) {
	s := onSockets(t, 3)
	s.proven("a")
	s.proven("b")
	old := s.proven("c")
	s.dial() // a stranger waits in the overflow reserve
	again := s.login("c")
	old.expectEnd()
	again.say("hello")
	s.expectClosed(ReasonTakenOver, 1)
	if n := s.closed(ReasonLimit); n != 0 {
		t.Errorf("%d are refused", n)
	}
}

// Made-up logins hold no place that anybody else wants.
func TestNewcomerTakesThePlaceOfTheOldestUnproven(t *testing.T) {
	s := onSockets(t, 10)
	real := s.proven("real")
	var made []*device
	for i := range 9 {
		made = append(made, s.login(fmt.Sprint("made up ", i)))
	}
	for i := range 9 {
		s.login(fmt.Sprint("newcomer", i)).say("proof")
		made[i].expectEnd()
	}
	s.expectClosed(ReasonCrowdedOut, 9)
	if !s.log.Has("no room, unproven connection closed for a newer one", "limit=10", "remote=127.0.0.1") {
		t.Errorf("logged: %s", s.log)
	}
	real.say("still here")
}

// A device whose IMEI vouches for it is none of those who go.
func TestTrustedDeviceNeedsNoProof(t *testing.T) {
	s := onSockets(t, 2)
	listed := s.dial()
	listed.say("+listed")
	for i := range 5 {
		s.login(fmt.Sprint("stranger", i))
	}
	listed.say("still here")
	s.expectClosed(ReasonCrowdedOut, 4)
}

// A proven device is one at its next login already, for a day after it has left.
func TestProvenDeviceIsRemembered(t *testing.T) {
	inBubble(t, 2, func(s *shell) {
		strangers := func(from string) {
			for i := range 4 {
				time.Sleep(time.Millisecond) // which one is the oldest
				s.login(fmt.Sprint(from, i))
			}
		}
		s.proven("real").send("bye")
		synctest.Wait()
		time.Sleep(provenMemory - time.Minute)
		back := s.login("real")
		strangers("a")
		back.say("still here")
		time.Sleep(10 * time.Minute) // and it counts from when it left
		back.say("hello")
		back.send("bye")
		synctest.Wait()
		time.Sleep(provenMemory - time.Minute)
		back = s.login("real")
		strangers("b")
		back.say("still here")
		back.send("bye")
		synctest.Wait()
		time.Sleep(provenMemory + time.Minute)
		back = s.login("real")
		strangers("c")
		back.awaitEnd()
	})
}

// A device whose connection has to go while its first frame is being stored stays: the frame proves that it is one.
func TestProofThatComesLateCounts(t *testing.T) {
	s := onSockets(t, 2)
	d := s.login("real")
	d.send("hold proof")
	testkit.Eventually(s, "at work", func() bool { return s.adapter.holding.Load() == 1 })
	one, two := s.login("stranger"), s.login("another")
	close(s.adapter.release)
	d.expect("hold proof")
	one.expectEnd()
	d.say("still here")
	two.say("still here")
	s.expectClosed(ReasonCrowdedOut, 1)
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// The frame that a connection holds when it has to go is finished.
func TestConnectionThatGoesFinishesItsFrame(t *testing.T) {
	s := onSockets(t, 1)
	d := s.login("a")
	d.send("hold")
	testkit.Eventually(s, "at work", func() bool { return s.adapter.holding.Load() == 1 })
	s.login("b").say("proof")
	close(s.adapter.release)
	d.expect("hold")
	d.expectEnd()
	s.expectClosed(ReasonCrowdedOut, 1)
}

// An address that has more than its share goes before all others, even if they have been there for longer.
func TestFloodOfAnAddressTakesItsOwnPlaces(t *testing.T) {
	s := onSockets(t, 32)
	quiet := s.loginFrom("127.0.0.2", "quiet") // unproven all the time
	for i := range 200 {
		s.loginFrom("127.0.0.3", fmt.Sprint("made up ", i))
	}
	s.expectClosed(ReasonCrowdedOut, 200-31)
	quiet.say("still here")
}

// Whoever fills the server with devices that he has made up and proved takes no place from a device that was there
// earlier, be it after it has left or while it is connected, and whether or not he comes back with his own.
func TestMadeUpProofsTakeNoPlaceOfEarlierDevices(t *testing.T) {
	s := onSockets(t, 32)
	stayed := s.proven("stayed")
	for i := range 20 {
		left := s.provenFrom("127.0.0.2", fmt.Sprint("device", i))
		left.send("bye")
		left.expectEnd()
	}
	testkit.Eventually(s, "one connection", func() bool { return s.Connections() == 1 })
	for round := range 2 {
		var made []*device
		for i := range 31 {
			made = append(made, s.provenFrom("127.0.0.3", fmt.Sprint("made up ", i)))
		}
		if round == 0 { // so that they are all proven in an earlier connection
			for _, d := range made {
				d.send("bye")
				d.expectEnd()
			}
			testkit.Eventually(s, "one connection", func() bool { return s.Connections() == 1 })
		}
	}
	for i := range 20 {
		s.loginFrom("127.0.0.2", fmt.Sprint("device", i)).say("hello")
	}
	stayed.say("still here")
	s.expectClosed(ReasonLimit, 20)
	stranger := s.dial()
	stranger.send("=stranger")
	stranger.expectEnd()
	s.expectClosed(ReasonLimit, 21)
}

// Among proven devices the address with most connections gives, and of it the device that proved itself last.
func TestPlaceOfTheLastProvenOfTheLargestAddress(t *testing.T) {
	s := onSockets(t, 4)
	early := s.proven("early")
	early.send("bye")
	early.expectEnd()
	testkit.Eventually(s, "no connection", func() bool { return s.Connections() == 0 })
	first, second := s.provenFrom("127.0.0.3", "a"), s.provenFrom("127.0.0.3", "b")
	last := s.provenFrom("127.0.0.3", "c")
	other := s.provenFrom("127.0.0.4", "d")
	s.login("early").say("hello")
	last.expectEnd()
	for _, d := range []*device{first, second, other} {
		d.say("still here")
	}
	if !s.log.Has("connection limit reached", "remote=127.0.0.3") {
		t.Errorf("logged: %s", s.log)
	}
}

// Devices whose link is slow come to their login although many addresses connect at a high rate.
func TestCrowdOfManyAddressesLeavesASlowDeviceItsTime(t *testing.T) {
	s := onSockets(t, 40)
	slow := s.dial()
	for i := range 40 {
		for a := range 9 {
			s.loginFrom(fmt.Sprint("127.0.1.", a+1), fmt.Sprint("made up ", a, " ", i))
		}
	}
	slow.say("=slow")
	slow.say("proof")
}

// A device whose cell another one shares is not forgotten for that one, until it has been away for a day.
func TestEarlierProofKeepsItsCell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvenDevices()
		p.remember("early", 2)
		cell, _ := p.cells.Find("early")
		rival := "rival"
		for i := 0; ; i++ {
			if other, _ := p.cells.Find(rival); other == cell {
				break
			}
			rival = fmt.Sprint("rival", i)
		}
		p.remember(rival, 3)
		if got := p.of("early"); got != 2 {
			t.Errorf("proof %d of the earlier device", got)
		}
		time.Sleep(provenMemory)
		p.remember(rival, 3)
		if got := p.of(rival); got != 3 {
			t.Errorf("proof %d of the one that is left", got)
		}
		p.remember("early", 2) // whose connection has lasted for as long
		if got := p.of("early"); got != 2 || p.of(rival) != noProof {
			t.Errorf("proof %d of the earlier device, after a day", got)
		}
	})
}

// provenFrom is proven, from another of this machine's addresses.
func (s *shell) provenFrom(address, name string) *device {
	s.Helper()
	d := s.loginFrom(address, name)
	d.say("proof")
	return d
}

// loginFrom logs in from another of this machine's addresses.
func (s *shell) loginFrom(address, name string) *device {
	s.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := dialer.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	d := &device{shell: s, Conn: conn}
	d.say("=" + name)
	return d
}

// Another login on the connection makes it that device's, and the first one may come back elsewhere.
func TestAnotherLoginOnAConnection(t *testing.T) {
	s := onSockets(t, 10)
	d := s.proven("a")
	d.say("=b")
	a := s.login("a")
	d.say("still here")
	a.say("hello")
	b := s.login("b")
	d.expectEnd()
	b.say("hello")
	s.expectClosed(ReasonTakenOver, 1)
}
