package redisstore

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func (n *node) wantTakenOver(t testing.TB, c command.Connection) {
	t.Helper()
	testkit.Eventually(t, n.opt.Instance+" being told of the newer login", func() bool { return n.WasTakenOver(c) })
}

// TestFrozenInstanceFindsOutByItself writes down a login later than another instance has written down a newer one, as
// an instance does that was frozen, or that Redis was away from. Its clock is wrong meanwhile, which must not matter.
func TestFrozenInstanceFindsOutByItself(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := start(t, r, "a"), start(t, r, "b")
	newer := b.connect(deviceA)
	wantHolder(t, r, deviceA, "b")
	a.setOffset(-time.Minute)
	older := a.connectSince(deviceA, newer.Since.Add(-10*time.Second))
	a.wantTakenOver(t, older)
	if holder := r.Do("HGET", "connections:registry", deviceA); holder != "b" {
		t.Errorf("the holder is %v", holder)
	}
	if b.WasTakenOver(newer) {
		t.Error("the newer connection was taken over")
	}
}

// TestWrongIdeaOfTheClockClosesNothing has a device log in at an instance that believes Redis' clock to be a minute
// behind, as after the clock was set forward.
func TestWrongIdeaOfTheClockClosesNothing(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := alone(t, r, "a"), alone(t, r, "b")
	for _, n := range []*node{a, b} {
		if err := n.readClock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.connectSince(deviceA, time.Now().Add(-10*time.Second))
	if err := a.writeSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.setOffset(-time.Minute)
	b.connect(deviceA)
	if err := b.writeSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if holder := r.Do("HGET", "connections:registry", deviceA); holder != "b" || len(b.sessions.takenOver) > 0 {
		t.Errorf("the holder is %v, and %d connections are to be closed", holder, len(b.sessions.takenOver))
	}
}

// TestLoginFromAfterNowKeepsNobodyAway has Redis' clock be set back, so that a login that is written down is to come.
func TestLoginFromAfterNowKeepsNobodyAway(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := start(t, r, "a"), start(t, r, "b")
	before := a.connectSince(deviceA, time.Now().Add(time.Hour))
	wantHolder(t, r, deviceA, "a")
	b.connect(deviceA)
	wantHolder(t, r, deviceA, "b")
	a.wantTakenOver(t, before)
}

// TestOlderProgramIgnoresATakeOver reads the entry as a program does that knows nothing of it, and has one be left to
// an instance that died.
func TestOlderProgramIgnoresATakeOver(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := alone(t, r, "a"), start(t, r, "b")
	if _, err := a.eval(t.Context(), scriptBeat, time.Minute.Milliseconds()); err != nil {
		t.Fatal(err)
	}
	a.connect(deviceA)
	if err := a.writeSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.connect(deviceA)
	wantHolder(t, r, deviceA, "b")
	entries := stream(t, r, "commands:outbound:a")
	if len(entries) != 1 {
		t.Fatalf("told: %v", entries)
	}
	delete(entries[0].Values, "taken_over")
	if in := parseInbound(entries[0]); in.err != nil || !in.cancel {
		t.Errorf("an older program takes it for %+v", in)
	}
	r.Do("DEL", "instance:heartbeat:a")
	testkit.EventuallyIn(t, "nothing left of what the dead instance was told", takeover,
		func() bool { return r.Do("XLEN", "commands:outbound:a") == int64(0) })
	if all := results(t, r); len(all) > 0 {
		t.Errorf("results: %+v", all)
	}
}

// setOffset has the store be wrong about Redis' clock.
func (n *node) setOffset(d time.Duration) {
	n.sessions.writing.Lock()
	defer n.sessions.writing.Unlock()
	n.sessions.offset = d
}
