package command_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// bent is a store that does some things otherwise.
type bent struct {
	command.Store
	returned func(id string)
	begin    func(ctx context.Context, id string) (command.Lease, error)
	settled  func()
}

func (b *bent) Return(ctx context.Context, id string) error {
	err := b.Store.Return(ctx, id)
	if b.returned != nil {
		b.returned(id)
	}
	return err
}

func (b *bent) Begin(ctx context.Context, id string, p command.Timeouts) (command.Lease, error) {
	if b.begin != nil {
		return b.begin(ctx, id)
	}
	return b.Store.Begin(ctx, id, p)
}

func (b *bent) Settle(
	ctx context.Context, m *command.Message, p command.Timeouts,
) (command.Match, command.Entry, error) {
	if b.settled != nil {
		b.settled()
	}
	return b.Store.Settle(ctx, m, p)
}

// withBent runs a test with a store that bend has changed.
func withBent(t *testing.T, bend func(*bent), test func(*dispatcher, *bent)) {
	t.Helper()
	b := &bent{}
	withStore(t, func(s command.Store) command.Store {
		b.Store = s
		bend(b)
		return b
	}, func(d *dispatcher) { test(d, b) })
}

// The store has the command handed over again before the dispatcher knows that it has given it back.
func TestCommandComesBackAtOnce(t *testing.T) {
	withBent(t, func(*bent) {}, func(d *dispatcher, b *bent) {
		dev := d.newDevice(imei)
		b.returned = func(string) {
			b.returned = nil
			dev.connect()
			synctest.Wait() // the store has handed it over
		}
		d.Connected(imei, nextNumber(), stuckSender{})
		d.submit(newCommand(imei, "again"))
		synctest.Wait()
		dev.line = &line{device: dev}
		d.Connected(imei, nextNumber(), dev.line)
		dev.disconnect()
		if e := d.result("again"); e.State != command.Answered {
			d.Errorf("%s: %s", e.State, e.Reason)
		}
	})
}

// While an answer is awaited the device goes, and what waits behind it is given back at once. Meanwhile the answer
// comes elsewhere; when the device is back here nobody waits for it any more.
func TestDeviceThatIsElsewhereForAWhile(t *testing.T) {
	withBent(t, func(*bent) {}, func(d *dispatcher, b *bent) {
		dev := d.newDevice(imei)
		dev.plan["first"] = staysSilent
		d.submit(newCommand(imei, "first"))
		d.submit(newCommand(imei, "behind"))
		testkit.Eventually(d, "the first one is sent", func() bool {
			e, _ := d.Lookup(context.Background(), "first")
			return e.State == command.Sent
		})
		synctest.Wait()
		var returned []string
		b.returned = func(id string) { returned = append(returned, id) }
		dev.disconnect()
		synctest.Wait()
		if !slices.Equal(returned, []string{"behind"}) {
			d.Errorf("given back: %v", returned)
		}
		m := command.Message{IMEI: imei, Codec: teltonika.Codec12, Type: teltonika.TypeResponse, Payload: []byte("yes"),
			Received: time.Now()}
		if match, _, err := b.Settle(context.Background(), &m, patience); match != command.MatchAnswer || err != nil {
			d.Fatalf("%s, %v", match, err)
		}
		time.Sleep(patience.Gap)
		start := time.Now()
		dev.connect()
		if e := d.result("behind"); e.State != command.Answered || time.Since(start) > 5*time.Second {
			d.Errorf("%s after %v", e.State, time.Since(start))
		}
		if n := d.metric("teltonika_commands_total", "timed_out"); n != 0 {
			d.Errorf("%d commands counted as timed out", n)
		}
	})
}

// lateLine has its moment some time after it was asked.
type lateLine struct{ *line }

const untilTheMoment = 3 * time.Second

func (l lateLine) Send(ctx context.Context, frame []byte, c *condition.Condition) (time.Time, error) {
	time.Sleep(untilTheMoment)
	return l.line.Send(ctx, frame, c)
}

// What a device says while its command waits for its moment on the connection is not the answer.
func TestWordsBeforeTheCommandIsSent(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		d.Connected(imei, nextNumber(), lateLine{dev.line})
		d.submit(newCommand(imei, "asked"))
		time.Sleep(untilTheMoment / 2)
		dev.answer(teltonika.Codec12, teltonika.TypeResponse, "nobody")
		if e := d.result("asked"); e.State != command.Answered || string(e.Response) != "answer to asked" {
			d.Errorf("%s: %q", e.State, e.Response)
		}
		if n := d.metric("teltonika_device_messages_total", "message"); n != 1 {
			d.Errorf("%d messages of its own accord", n)
		}
	})
}

// What came before the timeout is the answer, even if it waits behind another message that the store is slow to know.
func TestAnswerBehindASlowMessage(t *testing.T) {
	withBent(t, func(b *bent) {
		b.settled = func() {
			b.settled = nil
			time.Sleep(8 * time.Second)
		}
	}, func(d *dispatcher, _ *bent) {
		dev := d.newDevice(imei)
		dev.plan["slow"] = staysSilent
		c := newCommand(imei, "slow")
		c.Timeout = 7 * time.Second
		d.submit(c)
		synctest.Wait()
		dev.pending.Go(func() { dev.answer(teltonika.Codec14, teltonika.TypeResponse, "of another codec") })
		synctest.Wait()
		dev.pending.Go(func() { dev.answer(teltonika.Codec12, teltonika.TypeResponse, "slow") })
		if e := d.result("slow"); e.State != command.Answered {
			d.Errorf("%s: %s", e.State, e.Reason)
		}
	})
}

// Its lease does not come, and by our clock, which is ahead of the store's, it has expired.
func TestStoreWithASlowerClock(t *testing.T) {
	withBent(t, func(*bent) {}, func(d *dispatcher, b *bent) {
		d.newDevice(imei)
		synctest.Wait()
		e := command.Entry{Command: newCommand(imei, "expired"), State: command.Queued}
		e.Expires = time.Now().Add(-time.Minute)
		asked, end := 0, time.Now().Add(10*time.Second)
		over := make(chan struct{})
		b.begin = func(context.Context, string) (command.Lease, error) {
			if asked++; asked > 1000 || time.Now().After(end) {
				close(over)
				return command.Lease{Entry: e}, nil
			}
			return command.Lease{Wait: time.Hour, Entry: e}, nil
		}
		d.Receive(e)
		<-over
		if asked < 10 || asked > 200 {
			d.Errorf("the store was asked %d times in 10 s", asked)
		}
	})
}

// The store grants the lease, and its answer takes so long that the command has expired.
func TestLeaseThatComesTooLate(t *testing.T) {
	withBent(t, func(*bent) {}, func(d *dispatcher, b *bent) {
		dev := d.newDevice(imei)
		b.begin = func(ctx context.Context, id string) (command.Lease, error) {
			lease, err := b.Store.Begin(ctx, id, patience)
			time.Sleep(2 * time.Second)
			return lease, err
		}
		c := newCommand(imei, "late")
		c.Expires = time.Now().Add(time.Second)
		d.submit(c)
		if e := d.result("late"); e.State != command.Expired || e.Attempts != 0 || len(dev.got["late"]) != 0 {
			d.Errorf("%s after %d attempts, it reached the device %d times", e.State, e.Attempts, len(dev.got["late"]))
		}
	})
}

// choosyLine is the connection of a device of which a condition is never true.
type choosyLine struct {
	*line
	asked chan string
}

func (l choosyLine) Send(ctx context.Context, frame []byte, c *condition.Condition) (time.Time, error) {
	if c == nil {
		return l.line.Send(ctx, frame, nil)
	}
	l.asked <- c.String()
	return time.Time{}, &condition.NotMet{Why: "speed is 43"}
}

// A command whose condition is not met has failed without having been sent, and the next one follows at once.
func TestConditionNotMet(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		choosy := choosyLine{dev.line, make(chan string, 1)}
		d.Connected(imei, nextNumber(), choosy)
		c := newCommand(imei, "moving")
		c.OnlyIf = condition.Read("speed<5")
		d.submit(c)
		start := time.Now()
		e := d.result("moving")
		if e.State != command.Failed || e.Reason != "condition not met: speed is 43" || e.Attempts != 0 ||
			!e.SentAt.IsZero() {
			d.Errorf("%+v", e)
		}
		if got := <-choosy.asked; got != "speed<5,age<=60s" || len(choosy.asked) != 0 {
			d.Errorf("asked whether %q, and %d times more", got, len(choosy.asked))
		}
		d.submit(newCommand(imei, "next"))
		if e := d.result("next"); e.State != command.Answered || time.Since(start) > patience.Gap {
			d.Errorf("the next one is %s after %v", e.State, time.Since(start))
		}
	})
}
