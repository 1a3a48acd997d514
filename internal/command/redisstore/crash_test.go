package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestRestartOfTheSameInstance leaves commands in every state behind, with another instance that must leave them alone.
func TestRestartOfTheSameInstance(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := start(t, r, "a"), start(t, r, "b")
	a.connect(deviceA)
	a.connect(deviceB)
	queued, sent, again := newCommand(deviceA), brief(deviceA), newCommand(deviceB)
	again.Idempotent = true
	for _, c := range []command.Command{sent, queued, again} {
		b.submit(t, c)
		a.wantReceived(t, c.ID)
	}
	a.grant(t, sent.ID, hasty)
	a.grant(t, again.ID, patient)
	a.crash()

	a = start(t, r, "a")
	a.connect(deviceA)
	a.connect(deviceB)
	a.wantReceived(t, queued.ID)
	if e := a.wantReceived(t, again.ID); e.State != command.Sent || e.Attempts != 1 {
		t.Errorf("taken: %+v", e)
	}
	if e := a.wantEnd(t, r, sent.ID, command.Failed); e.Reason != command.ReasonDeliveryUnknown {
		t.Errorf("the reason is %q", e.Reason)
	}
	if _, taken := a.Received(sent.ID); taken {
		t.Error("what may have been sent was handed out again")
	}
	if e := a.grant(t, again.ID, patient); e.Attempts != 2 {
		t.Errorf("begun again: %+v", e)
	}
	testkit.Eventually(t, "the lease", func() bool {
		lease, err := a.Begin(context.Background(), queued.ID, patient)
		return err == nil && lease.Granted
	})
	for _, imei := range []string{deviceA, deviceB} {
		if _, _, err := a.Settle(context.Background(), answer(imei, "yes"), patient); err != nil {
			t.Fatal(err)
		}
	}
	a.wantEnd(t, r, queued.ID, command.Answered)
	a.wantEnd(t, r, again.ID, command.Answered)
}

// TestDeathIsNotTakenForATimeout has the heartbeat of the dead instance still be there when its command's time is over:
// only later is it known that it had died before.
func TestDeathIsNotTakenForATimeout(t *testing.T) {
	r := testkit.StartRedis(t)
	a := open(t, r, "a")
	a.opt.Timing.Heartbeat = time.Second // believed for 3 s
	dying := run(t, a)
	dying.connect(deviceA)
	wantHolder(t, r, deviceA, "a")
	b := start(t, r, "b")
	c := brief(deviceA)
	b.submit(t, c)
	dying.wantReceived(t, c.ID)
	dying.grant(t, c.ID, hasty)
	dying.crash()
	if e := b.wantEnd(t, r, c.ID, command.Failed); e.Reason != command.ReasonDeliveryUnknown || e.Instance != "a" {
		t.Errorf("it ended as %+v", e)
	}
}

// TestMissingHeartbeatIsNoDeathAtFirst has it be missing as after an outage, when nobody had the chance to beat again.
func TestMissingHeartbeatIsNoDeathAtFirst(t *testing.T) {
	r := testkit.StartRedis(t)
	a := alone(t, r, "a")
	c := brief(deviceA)
	a.submit(t, c)
	e := a.grant(t, c.ID, hasty)
	r.Do("DEL", "instance:heartbeat:a")
	s := open(t, r, "b")
	s.opt.Timing.Stabilization = time.Hour
	b := run(t, s)
	testkit.Eventually(t, "a sweep that has looked at it", func() bool {
		due, err := strconv.ParseFloat(r.Do("ZSCORE", "commands:due", c.ID).(string), 64)
		return err == nil && due > float64(e.Deadline.Add(quick.Grace+500*time.Millisecond).UnixMilli())
	})
	if e := b.lookup(t, c.ID); e.State != command.Sent {
		t.Fatalf("it is %s (%s)", e.State, e.Reason)
	}
	h := heartbeat{store: a.Store, receiver: a}
	testkit.Eventually(t, "the end, while the heart beats", func() bool {
		return h.beat(context.Background()) == nil && b.lookup(t, c.ID).State.Final()
	})
	b.wantEnd(t, r, c.ID, command.TimedOut)
}

// TestComebackStopsTheTakeOver has the janitor read the stream of an instance that comes back before it moves anything.
func TestComebackStopsTheTakeOver(t *testing.T) {
	r := testkit.StartRedis(t)
	alone(t, r, "a")
	b := alone(t, r, "b")
	r.Do("XADD", "commands:outbound:a", "*", "id", "x", "imei", deviceA, "payload", "getinfo")
	m := stream(t, r, "commands:outbound:a")[0]
	j := janitor{store: b.Store, receiver: b}
	for _, instance := range []string{"a", "dead"} {
		moved, err := j.move(context.Background(), "commands:outbound:a", instance, m)
		if err != nil || moved != (instance == "dead") {
			t.Errorf("%s: moved = %v, %v", instance, moved, err)
		}
	}
}

// TestDeadInstanceIsCleanedUp looks at all that it owned.
func TestDeadInstanceIsCleanedUp(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	short := open(t, r, "b")
	short.opt.Timing.Retire = 2 * time.Second
	b := run(t, short)
	b.connect(deviceB)
	a.connect(deviceA)
	for i := range 2500 { // more than one page
		a.connect(fmt.Sprint("device", i))
	}
	testkit.Eventually(t, "the registry", func() bool { return r.Do("HLEN", "connections:registry") == int64(2502) })
	parked, moved, lost := newCommand(deviceA), newCommand("device7"), brief(deviceA)
	for _, c := range []command.Command{parked, moved, lost} {
		b.submit(t, c)
		a.wantReceived(t, c.ID)
	}
	a.grant(t, lost.ID, hasty)
	a.crash()
	// What is added after its death is found, too.
	testkit.Eventually(t, "the death", func() bool { return r.Do("EXISTS", "instance:heartbeat:a") == int64(0) })
	r.Do("XADD", "commands:outbound:a", "*", "id", "late", "imei", deviceB, "payload", "getinfo")

	b.wantReceived(t, "late")
	b.connect("device7")
	b.wantReceived(t, moved.ID)
	b.wantEnd(t, r, lost.ID, command.Failed)
	testkit.Eventually(t, "a clean registry", func() bool { return r.Do("HLEN", "connections:registry") == int64(2) })
	if n := r.Do("HLEN", "connections:sessions"); n != int64(2) {
		t.Errorf("%v sessions are left", n)
	}
	b.connect(deviceA)
	b.wantReceived(t, parked.ID)
	testkit.Eventually(t, "a being forgotten", func() bool {
		return r.Do("ZSCORE", "commands:instances", "a") == nil && r.Do("EXISTS", "commands:outbound:a") == int64(0)
	})
	consumers := r.Do("XINFO", "CONSUMERS", "commands:inbox", "tcp-ingestion").([]any)
	if len(consumers) != 1 {
		t.Errorf("consumers of the inbox: %v", consumers)
	}
}

// TestEndedInstanceIsForgottenSoon has one end in order, with an entry added by a sender that had looked it up just
// before.
func TestEndedInstanceIsForgottenSoon(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := start(t, r, "a"), start(t, r, "b")
	b.connect(deviceA)
	wantHolder(t, r, deviceA, "b")
	c := newCommand(deviceA)
	a.stop()
	r.Do("XADD", "commands:outbound:a", "*", "id", c.ID, "imei", c.IMEI, "payload", "getinfo")
	b.wantReceived(t, c.ID)
	testkit.Eventually(t, "a being forgotten", func() bool {
		return r.Do("ZSCORE", "commands:instances", "a") == nil && r.Do("EXISTS", "commands:outbound:a") == int64(0)
	})
}

// TestDeadAreFoundAtOnce has many of them, and counts the questions to Redis.
func TestDeadAreFoundAtOnce(t *testing.T) {
	r := testkit.StartRedis(t)
	a := alone(t, r, "a")
	long := time.Now().Add(-a.opt.Timing.Retire - time.Second)
	for i := range 100 {
		r.Do("ZADD", "commands:instances", time.Now().UnixMilli(), fmt.Sprint("dead", i))
	}
	j := janitor{store: a.Store, receiver: a, evicted: map[string]float64{}}
	if err := j.cleanDead(t.Context()); err != nil {
		t.Fatal(err)
	}
	var asked questions
	a.client.AddHook(&asked)
	if err := j.cleanDead(t.Context()); err != nil || asked != 2 {
		t.Errorf("%d questions, %v", asked, err)
	}
	r.Do("ZADD", "commands:instances", long.UnixMilli(), "dead0", long.UnixMilli(), "dead1")
	if err := j.cleanDead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := r.Do("ZCARD", "commands:instances"); left != int64(99) {
		t.Errorf("%v instances are remembered", left)
	}
}

// questions counts what Redis is asked.
type questions int

func (q *questions) DialHook(next redis.DialHook) redis.DialHook { return next }

func (q *questions) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error {
		*q++
		return next(ctx, c)
	}
}

func (q *questions) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, c []redis.Cmder) error {
		*q++
		return next(ctx, c)
	}
}

// TestParkedCommandExpiresOnce has every instance see to it.
func TestParkedCommandExpiresOnce(t *testing.T) {
	r := testkit.StartRedis(t)
	nodes := []*node{start(t, r, "a"), start(t, r, "b"), start(t, r, "c")}
	var all []command.Command
	for range 3 * sweepBatch {
		c := newCommand(deviceA)
		c.Expires = c.Created.Add(500 * time.Millisecond)
		nodes[0].submit(t, c)
		all = append(all, c)
	}
	for _, c := range all {
		testkit.Eventually(t, "the end", func() bool { return nodes[0].lookup(t, c.ID).State == command.Expired })
	}
	if n := len(results(t, r)); n != len(all) {
		t.Errorf("%d results of %d commands", n, len(all))
	}
	told := func() (count int) {
		for _, n := range nodes {
			count += len(n.AllFinished())
		}
		return count
	}
	testkit.Eventually(t, "everybody being told", func() bool { return told() >= len(all) })
	if told() != len(all) {
		t.Errorf("told %d times", told())
	}
	nodes[0].wantEnd(t, r, all[0].ID, command.Expired)
	if r.Do("EXISTS", "commands:parked:"+deviceA) != int64(0) {
		t.Error("the list of waiting commands is left")
	}
}

// TestOneResultWhateverHappensAtOnce has three instances end the same commands in every way there is, while they sweep.
func TestOneResultWhateverHappensAtOnce(t *testing.T) {
	r := testkit.StartRedis(t)
	nodes := []*node{start(t, r, "a"), start(t, r, "b"), start(t, r, "c")}
	const commands = 60
	ctx := context.Background()
	var all []command.Command
	for i := range commands {
		c := brief(fmt.Sprintf("device%03d", i))
		c.Idempotent = i%2 == 0
		c.Expires = c.Created.Add(10 * time.Second)
		nodes[0].submit(t, c)
		all = append(all, c)
	}
	var running sync.WaitGroup
	for i, c := range all {
		p := command.Timeouts{Send: time.Duration(i) * time.Millisecond}
		e := nodes[i%3].grant(t, c.ID, p)
		due, cancel := context.WithDeadline(ctx, e.Deadline.Add(quick.Grace)) // when the sweep comes
		defer cancel()
		for w := range 9 {
			n := nodes[w%3]
			running.Go(func() {
				<-due.Done()
				var err error
				switch w / 3 {
				case 0:
					_, err = n.Finish(ctx, e.Finished(command.TimedOut, fmt.Sprint(w), time.Now()), p)
				case 1:
					_, _, err = n.Settle(ctx, answer(c.IMEI, fmt.Sprint(w)), p)
				case 2:
					if _, err = n.Cancel(ctx, c.ID); err == nil {
						err = n.Return(ctx, c.ID)
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	running.Wait()
	for _, c := range all {
		wantOneResult(t, r, nodes[0].lookup(t, c.ID))
		wantNoTrace(t, r, nodes[0].lookup(t, c.ID))
	}
	if n := len(results(t, r)); n != commands {
		t.Errorf("%d results of %d commands", n, commands)
	}
}
