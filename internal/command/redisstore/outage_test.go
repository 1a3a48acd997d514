package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/commandtest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/redisdial"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestRedisKilled has commands in every state survive it.
func TestRedisKilled(t *testing.T) {
	r := testkit.StartRedis(t, "--appendonly", "yes")
	a, b := start(t, r, "a"), start(t, r, "b")
	a.connect(deviceA)
	parked, queued, sent := newCommand(deviceB), newCommand(deviceA), newCommand(deviceA)
	for _, c := range []command.Command{sent, queued} {
		b.submit(t, c)
		a.wantReceived(t, c.ID)
	}
	b.submit(t, parked)
	a.grant(t, sent.ID, patient)
	for range 2 {
		r.Kill()
		if _, err := a.Lookup(context.Background(), sent.ID); err == nil {
			t.Error("a dead Redis answers")
		}
		r.Restart()
	}
	testkit.Eventually(t, "the answer", func() bool {
		match, e, err := b.Settle(context.Background(), answer(deviceA, "yes"), hasty)
		return err == nil && match == command.MatchAnswer && e.ID == sent.ID
	})
	a.wantEnd(t, r, sent.ID, command.Answered)
	testkit.Eventually(t, "the next lease", func() bool {
		lease, err := a.Begin(context.Background(), queued.ID, patient)
		return err == nil && lease.Granted
	})
	b.connect(deviceB)
	b.wantReceived(t, parked.ID)
	wantHolder(t, r, deviceA, "a")
}

// TestRedisLosesEverything restarts it without its data. A command in hand is finished all the same.
func TestRedisLosesEverything(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	a.connect(deviceA)
	c := newCommand(deviceA)
	a.submit(t, c)
	a.wantReceived(t, c.ID)
	e := a.grant(t, c.ID, patient)
	r.Kill()
	r.Restart()
	wantHolder(t, r, deviceA, "a")
	if _, err := a.Lookup(context.Background(), c.ID); !errors.Is(err, command.ErrUnknown) {
		t.Errorf("lookup: %v", err)
	}
	if _, err := a.Finish(context.Background(), e.Finished(command.TimedOut, "no answer", time.Now()),
		patient); err != nil {
		t.Fatal(err)
	}
	a.wantEnd(t, r, c.ID, command.TimedOut)
	next := newCommand(deviceA)
	a.submit(t, next)
	a.wantReceived(t, next.ID)
	if lease, err := a.Begin(context.Background(), next.ID, patient); err != nil || lease.Granted || lease.Wait == 0 {
		t.Errorf("the lost command's answer may still come: %+v, %v", lease, err)
	}
}

// TestRedisAwayAtTheStart has it come later, and tells of it in few lines.
func TestRedisAwayAtTheStart(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Kill()
	var log testkit.Log
	s := open(t, r, "a")
	s.opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	a := run(t, s)
	connection := a.connect(deviceA)
	a.connect(deviceB)
	a.Disconnect(connection)
	testkit.Eventually(t, "a failure in the log", func() bool { return strings.Contains(log.String(), "does not work") })
	r.Restart()
	wantHolder(t, r, deviceB, "a")
	wantHolder(t, r, deviceA, nil)
	c := newCommand(deviceB)
	r.Do("XADD", "commands:outbound:a", "*", "id", c.ID, "imei", c.IMEI, "payload", "getinfo")
	a.wantReceived(t, c.ID)
	testkit.Eventually(t, "the recovery in the log", func() bool { return strings.Contains(log.String(), "works again") })
	if lines := strings.Count(log.String(), "\n"); lines > 8 {
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
}

// TestFrozenRedisDoesNotWorkAgain: no work is said to succeed while nothing is answered. The janitor has nothing to ask
// then, because it waits until the heartbeats get through again.
func TestFrozenRedisDoesNotWorkAgain(t *testing.T) {
	r := testkit.StartRedis(t)
	var log testkit.Log
	registry := prometheus.NewRegistry()
	s, err := New(Options{
		URL: r.URL(), Instance: "a", Logger: slog.New(slog.NewTextHandler(&log, nil)), Metrics: registry, Timing: quick,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.client.Options().ReadTimeout = 500 * time.Millisecond
	run(t, s)
	testkit.Eventually(t, "the janitor at work", s.stable)
	r.Freeze()
	fails := func(work string) func() bool {
		return func() bool {
			return strings.Contains(log.String(), `"command store does not work, trying again" work=`+work)
		}
	}
	testkit.Eventually(t, "the janitor's failure", fails(workClean))
	failures := func() float64 { return testutil.ToFloat64(s.metrics.failures.WithLabelValues(workBeat)) }
	before := failures()
	testkit.Eventually(t, "failures of the heartbeat", func() bool { return failures() >= before+3 })
	if strings.Contains(log.String(), "works again") {
		t.Errorf("while Redis is frozen:\n%s", log.String())
	}
	r.Thaw()
	testkit.Eventually(t, "that the janitor works again", func() bool {
		return strings.Contains(log.String(), `"command store works again" work=`+workClean)
	})
}

// TestRedisOutOfMemory has every transition be refused whole, and happen when there is memory again.
func TestRedisOutOfMemory(t *testing.T) {
	r := testkit.StartRedis(t, "--enable-debug-command", "yes")
	a := alone(t, r, "a")
	ctx := context.Background()
	a.connect(deviceA)
	if err := a.writeSessions(ctx); err != nil {
		t.Fatal(err)
	}
	begun, cancelled, finished := newCommand(deviceA), newCommand(deviceA), newCommand(deviceA)
	given, over := newCommand(deviceA), newCommand(deviceA)
	over.Expires = over.Created
	for _, c := range []command.Command{begun, cancelled, finished, given, over} {
		a.submit(t, c)
	}
	entry := r.Do("XADD", "commands:inbox", "*", "cancel", "true", "id", cancelled.ID).(string)
	sent := newCommand(deviceB)
	a.submit(t, sent)
	a.grant(t, sent.ID, patient)
	more := newCommand(deviceB)
	yes := answer(deviceB, "yes")
	failed := a.lookup(t, finished.ID).Finished(command.Failed, "denied", time.Now())
	calls := map[string]func() error{
		"submit": func() error { _, _, err := a.Submit(ctx, more); return err },
		"begin":  func() error { _, err := a.Begin(ctx, begun.ID, patient); return err },
		"cancel": func() error { _, _, err := a.cancel(ctx, cancelled.ID, "commands:inbox", entry); return err },
		"finish": func() error { _, err := a.Finish(ctx, failed, patient); return err },
		"return": func() error { return a.Return(ctx, given.ID) },
		"settle": func() error { _, _, err := a.Settle(ctx, yes, patient); return err },
		"sweep":  func() error { _, err := a.eval(ctx, scriptSweep, sweepBatch, 0, "1"); return err },
	}
	before := r.Do("DEBUG", "DIGEST")
	r.Do("CONFIG", "SET", "maxmemory", "1")
	for name, call := range calls {
		if err := call(); err == nil || !strings.Contains(err.Error(), "OOM") {
			t.Errorf("%s without memory: %v", name, err)
		}
	}
	if r.Do("DEBUG", "DIGEST") != before {
		t.Error("something has changed all the same")
	}
	r.Do("CONFIG", "SET", "maxmemory", "0")
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s with memory: %v", name, err)
		}
	}
	if n := len(results(t, r)); n != 4 {
		t.Errorf("%d results", n)
	}
	if n := r.Do("XLEN", "commands:inbox"); n != int64(0) {
		t.Errorf("%v entries are left", n)
	}
}

// TestTwoProcessesOfOneName are told of in the log, and a restart is not.
func TestTwoProcessesOfOneName(t *testing.T) {
	r := testkit.StartRedis(t, "--appendonly", "yes")
	var log testkit.Log
	hearts := make([]heartbeat, 2)
	for i := range hearts {
		s := open(t, r, "a")
		defer func() { _ = s.Close() }()
		s.opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
		hearts[i] = heartbeat{store: s, receiver: commandtest.NewNode(s)}
		if err := hearts[i].beat(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if log.String() != "" {
		t.Errorf("logged: %s", log.String())
	}
	if err := hearts[0].beat(context.Background()); err != nil ||
		!strings.Contains(log.String(), "another process uses this instance id") {
		t.Errorf("logged: %s, %v", log.String(), err)
	}
}

// TestEndWhileRedisHangs must not wait for it for long.
func TestEndWhileRedisHangs(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	a.connect(deviceA)
	wantHolder(t, r, deviceA, "a")
	r.Freeze()
	began := time.Now()
	a.stop()
	if took := time.Since(began); took > redisdial.Timeout+leaveTimeout+5*time.Second {
		t.Errorf("the end took %v", took)
	}
	r.Thaw()
}

// TestDeregisteringAtAHangingRedis is over before whoever waits for it gives up.
func TestDeregisteringAtAHangingRedis(t *testing.T) {
	r := testkit.StartRedis(t)
	a := alone(t, r, "a")
	a.connect(deviceA)
	if err := a.writeSessions(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Freeze()
	began := time.Now()
	a.leave()
	if took := time.Since(began); took < leaveTimeout || took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	r.Thaw()
}

// TestWarnsOfARedisThatForgets does so once, and not if Redis does not tell.
func TestWarnsOfARedisThatForgets(t *testing.T) {
	const warning = "commands in redis do not survive its restart, appendonly is off"
	for name, c := range map[string]struct {
		appendonly string
		user       []any
		want       int
	}{
		"off":     {"no", []any{"+@all"}, 1},
		"on":      {"yes", []any{"+@all"}, 0},
		"refused": {"no", []any{"+@all", "-config"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := testkit.StartRedis(t, "--appendonly", c.appendonly)
			r.Do(append([]any{"ACL", "SETUSER", "u", "on", ">p", "~*"}, c.user...)...)
			var log testkit.Log
			s, err := New(Options{URL: "redis://u:p@" + r.Addr(), Instance: "a",
				Logger: slog.New(slog.NewTextHandler(&log, nil)), Timing: quick})
			if err != nil {
				t.Fatal(err)
			}
			a := run(t, s)
			a.connect(deviceA)
			wantHolder(t, r, deviceA, "a")
			first := r.Do("ZSCORE", "commands:instances", "a")
			testkit.Eventually(t, "another heartbeat", func() bool { return r.Do("ZSCORE", "commands:instances", "a") != first })
			a.stop()
			if got := strings.Count(log.String(), warning); got != c.want || strings.Count(log.String(), "\n") != c.want {
				t.Errorf("logged:\n%s", log.String())
			}
		})
	}
}

// unanswered makes a call whose effect comes after it has failed.
func unanswered(t *testing.T, r *testkit.Redis, call func(ctx context.Context) error) {
	t.Helper()
	r.Freeze()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := call(ctx); err == nil {
		t.Fatal("the call succeeded while nobody answers")
	}
	r.Thaw()
}

// warmUp makes Redis know the scripts: one that it does not know has no effect before it has answered.
func warmUp(t *testing.T, n *node) {
	t.Helper()
	c := newCommand(deviceB)
	n.submit(t, c)
	n.grant(t, c.ID, patient)
	if _, _, err := n.Settle(context.Background(), answer(deviceB, "yes"), patient); err != nil {
		t.Fatal(err)
	}
}

// TestFewEventsAreKept has more of them than that from before.
func TestFewEventsAreKept(t *testing.T) {
	r := testkit.StartRedis(t)
	a := alone(t, r, "a")
	r.Do("EVAL", "for i = 1, 12000 do redis.call('XADD', 'commands:events', '*', 'payload', i) end", 0)
	if err := a.Publish(t.Context(), &command.Event{Message: *answer(deviceA, "x"), Kind: command.MatchNone}); err != nil {
		t.Fatal(err)
	}
	if kept := r.Do("XLEN", "commands:events").(int64); kept < 10_000 || kept > 10_200 {
		t.Errorf("%d events are kept", kept)
	}
}

// TestCallsMayBeRepeated has each call's answer be lost, its effect not.
func TestCallsMayBeRepeated(t *testing.T) {
	r := testkit.StartRedis(t)
	a := open(t, r, "a")
	defer func() { _ = a.Close() }()
	ctx := context.Background()
	n := nodeOf(a)
	in := func(id string, s command.State) func() bool {
		return func() bool { return n.lookup(t, id).State == s }
	}
	warmUp(t, n)

	c := newCommand(deviceA)
	unanswered(t, r, func(ctx context.Context) error { _, _, err := a.Submit(ctx, c); return err })
	testkit.Eventually(t, "the effect", func() bool { _, err := a.Lookup(ctx, c.ID); return err == nil })
	if _, created, err := a.Submit(ctx, c); err != nil || created {
		t.Errorf("submit: created = %v, %v", created, err)
	}

	unanswered(t, r, func(ctx context.Context) error { _, err := a.Begin(ctx, c.ID, patient); return err })
	testkit.Eventually(t, "the effect", in(c.ID, command.Sent))
	if e := n.grant(t, c.ID, patient); e.Attempts != 1 {
		t.Errorf("begun: %+v", e)
	}
	if lease, err := a.Begin(ctx, c.ID, patient); err != nil || lease.Granted || lease.Wait != 0 {
		t.Errorf("begun twice: %+v, %v", lease, err)
	}

	yes := answer(deviceA, "yes")
	unanswered(t, r, func(ctx context.Context) error { _, _, err := a.Settle(ctx, yes, patient); return err })
	testkit.Eventually(t, "the effect", in(c.ID, command.Answered))
	for _, want := range []command.Match{command.MatchAnswer, command.MatchLate} {
		if match, _, err := a.Settle(ctx, yes, patient); err != nil || match != want {
			t.Errorf("the message is %q, want %q, %v", match, want, err)
		}
	}
	wantOneResult(t, r, n.lookup(t, c.ID))
}

// TestBeginThatNobodyHeardOfIsGivenBack has the device go before the call is repeated.
func TestBeginThatNobodyHeardOfIsGivenBack(t *testing.T) {
	r := testkit.StartRedis(t)
	a := open(t, r, "a")
	defer func() { _ = a.Close() }()
	n := nodeOf(a)
	warmUp(t, n)
	c, next := newCommand(deviceA), newCommand(deviceA)
	n.submit(t, c)
	n.submit(t, next)
	unanswered(t, r, func(ctx context.Context) error { _, err := a.Begin(ctx, c.ID, patient); return err })
	testkit.Eventually(t, "the effect", func() bool { return n.lookup(t, c.ID).State == command.Sent })
	if err := a.Return(context.Background(), c.ID); err != nil {
		t.Fatal(err)
	}
	if e := n.lookup(t, c.ID); e.State != command.Queued || e.Attempts != 0 {
		t.Errorf("given back: %+v", e)
	}
	n.grant(t, next.ID, patient)
}

// TestMessageOfBeforeIsNoAnswer asks about it after the next command was begun, as when Redis was away meanwhile.
func TestMessageOfBeforeIsNoAnswer(t *testing.T) {
	r := testkit.StartRedis(t)
	a := open(t, r, "a")
	defer func() { _ = a.Close() }()
	n := nodeOf(a)
	old := answer(deviceA, "of something else")
	old.Received = old.Received.Add(-time.Second)
	c := newCommand(deviceA)
	n.submit(t, c)
	n.grant(t, c.ID, patient)
	if match, _, err := a.Settle(context.Background(), old, patient); err != nil || match != command.MatchNone {
		t.Errorf("it is %q, %v", match, err)
	}
	if match, _, err := a.Settle(context.Background(), answer(deviceA, "yes"), patient); err != nil ||
		match != command.MatchAnswer {
		t.Errorf("the answer is %q, %v", match, err)
	}
}
