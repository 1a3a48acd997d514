package redisstore

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestLateCloseLeavesNewerSessionAlone has nobody assert anything again: what is lost stays lost.
func TestLateCloseLeavesNewerSessionAlone(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := alone(t, r, "a"), alone(t, r, "b")
	a.last.Store(1000) // numbers say nothing about other processes' connections
	want := func(what string, holder any) {
		t.Helper()
		for _, n := range []*node{a, b} {
			if err := n.writeSessions(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.Do("HGET", "connections:registry", deviceA); got != holder {
			t.Fatalf("after %s the holder is %v, want %v", what, got, holder)
		}
	}
	login := time.Now()
	first := a.connectSince(deviceA, login)
	want("the first login", "a")
	second := b.connectSince(deviceA, login.Add(10*time.Millisecond))
	want("the login elsewhere", "b")
	a.Disconnect(first)
	want("the end of the first connection", "b")
	third := b.connectSince(deviceA, login.Add(20*time.Millisecond))
	want("the third login", "b")
	b.Disconnect(second)
	want("the end of the second connection", "b")
	b.Disconnect(third)
	want("the end of the third connection", nil)
	if left := r.Do("EXISTS", "connections:registry", "connections:sessions"); left != int64(0) {
		t.Error("something is left of sessions that have ended")
	}
}

// TestOldSessionDoesNotWinByRepetition has both instances believe that the device is theirs, as after a connection that
// broke without a word.
func TestOldSessionDoesNotWinByRepetition(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := start(t, r, "a"), start(t, r, "b")
	a.connect(deviceA)
	wantHolder(t, r, deviceA, "a")
	newer := b.connect(deviceA)
	wantHolder(t, r, deviceA, "b")
	for beats := range 3 {
		a.connect(fmt.Sprint("marker", beats))
		a.reregister()
		wantHolder(t, r, fmt.Sprint("marker", beats), "a")
		if holder := r.Do("HGET", "connections:registry", deviceA); holder != "b" {
			t.Fatalf("the holder is %v", holder)
		}
	}
	b.Disconnect(newer) // the older one is all that is left, as far as anybody knows
	wantHolder(t, r, deviceA, "a")
}

// TestSessionOfADeadRunIsNoObstacle has the dead run's clock have been ahead.
func TestSessionOfADeadRunIsNoObstacle(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	ahead := command.Connection{IMEI: deviceA, Since: time.Now().Add(time.Hour), Number: 1}
	a.Connected(ahead)
	wantHolder(t, r, deviceA, "a")
	a.crash()
	s := open(t, r, "b")
	s.opt.Timing.Stabilization = time.Hour // it does not clean up
	b := run(t, s)
	b.connect(deviceA)
	wantHolder(t, r, deviceA, "b")
}

func TestFlushedRegistryIsWrittenAgain(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	const devices = 3 * sessionBatch
	for i := range devices {
		a.connect(fmt.Sprint("device", i))
	}
	whole := func() bool { return r.Do("HLEN", "connections:registry") == int64(devices) }
	testkit.Eventually(t, "the registry", whole)
	for _, flush := range []string{"FLUSHALL", "FLUSHDB"} {
		r.Do(flush)
		testkit.Eventually(t, "the registry after "+flush, whole)
	}
	c := newCommand("device7")
	r.Do("XADD", "commands:outbound:a", "*", "id", c.ID, "imei", c.IMEI, "payload", "getinfo")
	a.wantReceived(t, c.ID)
}

// TestFlushIsNoticedAtOnce uses the usual times: heartbeats are too rare to notice it.
func TestFlushIsNoticedAtOnce(t *testing.T) {
	r := testkit.StartRedis(t)
	s := open(t, r, "a")
	s.opt.Timing = Timing{}.complete()
	a := run(t, s)
	a.connect(deviceA)
	wantHolder(t, r, deviceA, "a")
	testkit.Eventually(t, "the reader", func() bool { return r.Do("EXISTS", "commands:inbox") == int64(1) })
	r.Do("FLUSHALL")
	wantHolder(t, r, deviceA, "a")
	if life := r.Do("TTL", "instance:heartbeat:a").(int64); life < 60 || life > 90 {
		t.Errorf("the heartbeat is believed for %d s", life)
	}
}

func TestOrderlyEndLeavesNothing(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := start(t, r, "a"), start(t, r, "b")
	a.connect(deviceA)
	b.connect(deviceB)
	wantHolder(t, r, deviceA, "a")
	wantHolder(t, r, deviceB, "b")
	a.stop()
	if holder := r.Do("HGET", "connections:registry", deviceA); holder != nil {
		t.Errorf("the holder is %v", holder)
	}
	if r.Do("EXISTS", "instance:heartbeat:a") != int64(0) {
		t.Error("the heartbeat is left")
	}
	wantHolder(t, r, deviceB, "b")
}

// TestEndLeavesTheNextRunAlone ends a process whose successor of the same name is there already.
func TestEndLeavesTheNextRunAlone(t *testing.T) {
	r := testkit.StartRedis(t)
	first := start(t, r, "a")
	first.connect(deviceA)
	wantHolder(t, r, deviceA, "a")
	second := start(t, r, "a")
	second.connect(deviceA)
	second.connect(deviceB)
	wantHolder(t, r, deviceB, "a")
	first.stop()
	for _, imei := range []string{deviceA, deviceB} {
		if holder := r.Do("HGET", "connections:registry", imei); holder != "a" {
			t.Errorf("the holder of %s is %v", imei, holder)
		}
	}
}

// TestManyDevicesComeAndGo has the registry be what the connections are in the end.
func TestManyDevicesComeAndGo(t *testing.T) {
	r := testkit.StartRedis(t)
	nodes := []*node{start(t, r, "a"), start(t, r, "b"), start(t, r, "c")}
	const devices, moves = 50, 12
	begin := time.Now()
	ended := make(chan struct{})
	for d := range devices {
		go func() {
			imei := fmt.Sprintf("device%03d", d)
			var last command.Connection
			var at *node
			for i := range moves {
				next := nodes[(d+i*i)%3]
				c := next.connectSince(imei, begin.Add(time.Duration(i)*10*time.Millisecond))
				if at != nil {
					at.Disconnect(last)
				}
				at, last = next, c
			}
			if d%5 == 0 {
				at.Disconnect(last)
			}
			ended <- struct{}{}
		}()
	}
	for range devices {
		<-ended
	}
	for d := range devices {
		var want any = nodes[(d+(moves-1)*(moves-1))%3].opt.Instance
		if d%5 == 0 {
			want = nil
		}
		wantHolder(t, r, fmt.Sprintf("device%03d", d), want)
	}
}

func TestNotesNeedNoMoreRoomThanDevices(t *testing.T) {
	s := newSessions()
	for i := range uint64(1000) {
		c := session{Connection: command.Connection{IMEI: fmt.Sprint(i), Number: i}}
		s.note(c)
		c.gone = true
		s.note(c)
	}
	if len(s.noted) != 0 {
		t.Errorf("%d devices are noted that Redis never heard of", len(s.noted))
	}
}

// TestManyWaitingCommands has more of them than one script takes over.
func TestManyWaitingCommands(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	var all []string
	for range command.MaxOpenOfDevice {
		c := newCommand(deviceA)
		a.submit(t, c)
		all = append(all, c.ID)
	}
	a.connect(deviceA)
	a.wantReceived(t, all[len(all)-1])
	for i, e := range a.AllReceived() {
		if i >= len(all) || e.ID != all[i] {
			t.Fatalf("the %d. that is taken is %s", i, e.ID)
		}
	}
	if len(a.AllReceived()) != len(all) {
		t.Errorf("%d are received", len(a.AllReceived()))
	}
}

// TestEndOfAConnectionIsFinal has it be said to be there, by somebody who asked before it ended.
func TestEndOfAConnectionIsFinal(t *testing.T) {
	s := newSessions()
	c := session{Connection: command.Connection{IMEI: deviceA, Number: 7}}
	s.note(c)
	s.done(s.nextBatch(), nil, nil)
	gone := c
	gone.gone = true
	s.note(gone)
	s.note(c)
	if noted := s.noted[deviceA]; !noted.gone {
		t.Errorf("noted: %+v", noted)
	}
}

// endsMeanwhile is a receiver whose device's connection ends when it has just been asked for its connections.
type endsMeanwhile struct {
	*node
	c command.Connection
}

func (n endsMeanwhile) Connections() iter.Seq[command.Connection] {
	all := n.node.Connections()
	n.Disconnect(n.c)
	return all
}

// TestEndWhileAsserting has a connection end that Redis has not heard of, and one that it has.
func TestEndWhileAsserting(t *testing.T) {
	r := testkit.StartRedis(t)
	a := alone(t, r, "a")
	for _, known := range []bool{false, true} {
		c := a.connect(deviceA)
		if known {
			if err := a.writeSessions(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.writeAll(t.Context(), endsMeanwhile{a, c}); err != nil {
			t.Fatal(err)
		}
		if err := a.writeSessions(t.Context()); err != nil {
			t.Fatal(err)
		}
		if holder := r.Do("HGET", "connections:registry", deviceA); holder != nil {
			t.Errorf("known = %v: the holder is %v", known, holder)
		}
		if len(a.sessions.noted) != 0 || len(a.sessions.written) != 0 {
			t.Errorf("known = %v: noted are %v, written %v", known, a.sessions.noted, a.sessions.written)
		}
	}
}

// TestOneScriptMovesFewCommands has many devices come back for which a few commands wait each.
func TestOneScriptMovesFewCommands(t *testing.T) {
	r := testkit.StartRedis(t)
	a := alone(t, r, "a")
	const devices, each, most = 100, 5, 200
	var text []byte
	for i := range devices {
		c := command.Connection{IMEI: fmt.Sprint("device", i), Since: time.Now(), Number: uint64(i)}
		for range each {
			a.submit(t, newCommand(c.IMEI))
		}
		text = a.appendSession(text, session{Connection: c})
	}
	for moved, round := 0, 1; moved < devices*each; round++ {
		a.beat(t) // on a slow machine the first one has run out
		answer, err := a.eval(t.Context(), scriptSessions, text)
		if err != nil {
			t.Fatal(err)
		}
		again := list(list(answer)[0])
		before := moved
		moved = int(r.Do("XLEN", "commands:outbound:a").(int64))
		if moved-before > most || moved == before {
			t.Fatalf("round %d has moved %d commands", round, moved-before)
		}
		if (len(again) > 0) != (moved < devices*each) {
			t.Errorf("round %d: %d commands are moved, and %d devices have more", round, moved, len(again))
		}
	}
}

// TestLoginIsCountedBack has this process' clock be set back by an hour after the login.
func TestLoginIsCountedBack(t *testing.T) {
	s := &Store{runID: "0", sessions: newSessions()}
	before := command.Connection{Since: clockSet(t, time.Now(), time.Hour), Number: 1}
	if login := parseLogin(t, string(s.appendToken(nil, before))); time.Since(login).Abs() > time.Minute {
		t.Errorf("the login was at %v", login)
	}
}

// clockSet returns the moment as it was read before the clock was set back by d: what the clock on the wall said is
// another time.
func clockSet(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	moved := at.Add(d)
	// A time's second word is its monotonic part, if it has one.
	*(*int64)(unsafe.Add(unsafe.Pointer(&moved), 8)) -= int64(d)
	if moved.Sub(at) != 0 || !moved.Round(0).Equal(at.Round(0).Add(d)) {
		t.Fatalf("times are not what they were: %v", moved)
	}
	return moved
}

func parseLogin(t *testing.T, token string) time.Time {
	t.Helper()
	login, _, _ := strings.Cut(token, "-")
	ms, err := strconv.ParseInt(login, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(ms)
}

// alone returns a store whose heart beats once, and that does nothing else in the background.
func alone(t *testing.T, r *testkit.Redis, instance string) *node {
	t.Helper()
	n := nodeOf(open(t, r, instance))
	t.Cleanup(func() { _ = n.Close() })
	n.opt.Timing.Heartbeat = testkit.Timeout // it beats this once
	n.beat(t)
	return n
}

// beat tells Redis that the node is alive.
func (n *node) beat(t *testing.T) {
	t.Helper()
	h := heartbeat{store: n.Store, receiver: n}
	if err := h.beat(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestReturnedCommandIsNotBroughtBack(t *testing.T) {
	r := testkit.StartRedis(t)
	a := alone(t, r, "a")
	c := newCommand(deviceA)
	here := a.connect(deviceA)
	if err := a.writeSessions(context.Background()); err != nil {
		t.Fatal(err)
	}
	a.submit(t, c)
	wantAt(t, r, c.ID, "commands:outbound:a")
	a.Disconnect(here)
	if err := a.Return(context.Background(), c.ID); err != nil {
		t.Fatal(err)
	}
	wantAt(t, r, c.ID, "parked")
	if n := r.Do("XLEN", "commands:outbound:a"); n != int64(0) {
		t.Errorf("%v entries are left", n)
	}
}

func wantAt(t *testing.T, r *testkit.Redis, id, want string) {
	t.Helper()
	if at := r.Do("HGET", "commands:command:"+id, "at"); at != want {
		t.Errorf("%s is at %v, want %s", id, at, want)
	}
}

// TestNothingIsRoutedToTheDead has the registry still name an instance that is dead, and one that runs again without
// the device.
func TestNothingIsRoutedToTheDead(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := alone(t, r, "a"), alone(t, r, "b")
	a.connect(deviceA)
	if err := a.writeSessions(context.Background()); err != nil {
		t.Fatal(err)
	}
	for state, change := range map[string]func(){
		"dead":    func() { r.Do("DEL", "instance:heartbeat:a") },
		"another": func() { alone(t, r, "a") },
	} {
		change()
		c := newCommand(deviceA)
		b.submit(t, c)
		if at := r.Do("HGET", "commands:command:"+c.ID, "at"); at != "parked" {
			t.Errorf("%s: it is at %v", state, at)
		}
	}
}
