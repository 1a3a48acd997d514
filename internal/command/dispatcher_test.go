package command_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const imei = "356307042441013"

func TestCommandWaitsForItsDevice(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		d.submit(newCommand(imei, "early"))
		if e, err := d.Lookup(context.Background(), "early"); err != nil || e.State != command.Queued {
			d.Errorf("%s, %v", e.State, err)
		}
		d.newDevice(imei)
		if e := d.result("early"); e.State != command.Answered || e.Attempts != 1 {
			d.Errorf("%s after %d attempts", e.State, e.Attempts)
		}
	})
}

// A device that comes and goes while commands wait gets each of them once, in their order.
func TestCommandsOfADeviceThatComesAndGoes(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		var ids []string
		for i := range 10 {
			id := fmt.Sprint("c", i)
			ids = append(ids, id)
			d.submit(newCommand(imei, id))
			dev.disconnect()
			dev.connect()
		}
		var finished []time.Time
		for _, id := range ids {
			e := d.result(id)
			if e.State != command.Answered || len(dev.got[id]) != 1 {
				d.Errorf("%s is %s, reached the device %d times", id, e.State, len(dev.got[id]))
			}
			finished = append(finished, e.FinishedAt)
		}
		if !slices.IsSortedFunc(finished, time.Time.Compare) {
			d.Errorf("finished out of order: %v", finished)
		}
	})
}

// A command that cannot be sent before it expires is never sent.
func TestExpiredIsNotSent(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		dev.plan["first"] = staysSilent
		d.submit(newCommand(imei, "first"))
		late := newCommand(imei, "late")
		late.Expires = time.Now().Add(commandTimeout / 2)
		d.submit(late)
		if e := d.result("late"); e.State != command.Expired || !e.SentAt.IsZero() || e.Attempts != 0 {
			d.Errorf("%s, sent %v", e.State, e.SentAt)
		}
		d.result("first")
		if len(dev.got["late"]) != 0 {
			d.Error("it reached the device")
		}
	})
}

func TestExpiredWithoutADevice(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		c := newCommand(imei, "nobody")
		c.Expires = time.Now().Add(100 * time.Millisecond)
		d.submit(c)
		if e := d.result("nobody"); e.State != command.Expired || e.Reason == "" {
			d.Errorf("%s: %q", e.State, e.Reason)
		}
		testkit.Eventually(d, "it is counted", func() bool { return d.metric("teltonika_commands_total", "expired") == 1 })
	})
}

// A line that does not find a moment in time keeps the command from being sent, and the next line gets it.
func TestLineWithoutAMoment(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		d.Connected(imei, nextNumber(), stuckSender{})
		c := newCommand(imei, "patient")
		d.submit(c)
		c = newCommand(imei, "impatient")
		c.Expires = time.Now().Add(patience.Send + time.Second)
		d.submit(c)
		if e := d.result("impatient"); e.State != command.Expired {
			d.Errorf("the one that expires: %s", e.State)
		}
		dev.connect()
		if e := d.result("patient"); e.State != command.Answered || e.Attempts != 1 {
			d.Errorf("the other one: %s after %d attempts", e.State, e.Attempts)
		}
	})
}

// stuckSender is the connection of a device that sends a frame without an end.
type stuckSender struct{}

func (stuckSender) Send(ctx context.Context, _ []byte, _ *condition.Condition) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, ctx.Err()
}

func (stuckSender) TakenOver() {}

func (stuckSender) Dismiss() bool { return false }

func TestSameIDIsExecutedOnce(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		d.submit(newCommand(imei, "once"))
		d.result("once")
		if e, created, err := d.Submit(context.Background(), newCommand(imei, "once"), "test"); err != nil || created ||
			e.State != command.Answered {
			d.Errorf("created %v, %s, %v", created, e.State, err)
		}
		if len(dev.got["once"]) != 1 {
			d.Errorf("executed %d times", len(dev.got["once"]))
		}
	})
}

func TestCancel(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		dev.plan["sent"] = staysSilent
		d.submit(newCommand(imei, "sent"))
		d.submit(newCommand(imei, "waiting"))
		testkit.Eventually(d, "the first one is sent", func() bool {
			e, _ := d.Lookup(context.Background(), "sent")
			return e.State == command.Sent
		})
		if e, err := d.Cancel(context.Background(), "waiting"); err != nil || e.State != command.Cancelled {
			d.Errorf("the waiting one: %s, %v", e.State, err)
		}
		if e, err := d.Cancel(context.Background(), "sent"); err != nil || e.State == command.Cancelled {
			d.Errorf("the one that was sent: %s, %v", e.State, err)
		}
		if _, err := d.Cancel(context.Background(), "unheard of"); !errors.Is(err, command.ErrUnknown) {
			d.Errorf("an unknown one: %v", err)
		}
		d.result("sent")
		if len(dev.got["waiting"]) != 0 {
			d.Error("the cancelled one reached the device")
		}
	})
}

func TestPolicyIsAskedTwice(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		c := newCommand(imei, "reset")
		c.Payload = []byte("deleterecords")
		var refused *command.RefusedError
		if _, _, err := d.Submit(context.Background(), c, "test"); !errors.As(err, &refused) ||
			refused.Reason != command.RefusedConfirm {
			d.Errorf("submitted: %v", err)
		}
		// What came another way than Submit is not looked at before it is to be sent.
		if _, _, err := d.store.Submit(context.Background(), c); err != nil {
			d.Fatal(err)
		}
		if e := d.result("reset"); e.State != command.Failed || e.Reason == "" || len(dev.got) != 0 {
			d.Errorf("%s: %q", e.State, e.Reason)
		}
	})
}

// More commands than may wait for a device are not taken, whether it is connected or not. A known one is still told of.
func TestQueueIsBounded(t *testing.T) {
	for _, connected := range []bool{true, false} {
		withDispatcher(t, func(d *dispatcher) {
			if connected {
				d.Connected(imei, nextNumber(), stuckSender{})
			}
			for i := range command.MaxOpenOfDevice {
				d.submit(newCommand(imei, fmt.Sprint("c", i)))
			}
			var refused *command.RefusedError
			if _, _, err := d.Submit(context.Background(), newCommand(imei, "more"), "test"); !errors.As(err, &refused) ||
				refused.Reason != command.RefusedQueue {
				d.Errorf("connected %v: submitted: %v", connected, err)
			}
			if e, created, err := d.Submit(context.Background(), newCommand(imei, "c7"), "test"); created || err != nil ||
				e.ID != "c7" {
				d.Errorf("connected %v: a known one: %+v, %v", connected, e, err)
			}
			if e, err := d.Cancel(context.Background(), "c9"); err != nil || e.State != command.Cancelled {
				d.Errorf("connected %v: %s, %v", connected, e.State, err)
			}
			d.submit(newCommand(imei, "more"))
		})
	}
}

// models are what devices have said of themselves.
type models struct {
	mu   sync.Mutex
	said map[string]string
}

func (m *models) Answered(imei string, answer []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said[imei] = string(answer)
}

func (m *models) model(imei string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.said[imei]
}

// Whoever asks for getver, the answer is told of; other commands' answers are not.
func TestModelIsLearned(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		m := &models{said: map[string]string{}}
		d.Models = m
		d.newDevice(imei)
		const said = "answer to getver"
		for _, c := range []struct{ text, model string }{{"Hw:FMB130", ""}, {"getver", said}, {"getinfo", said}} {
			command := newCommand(imei, c.text)
			d.submit(command)
			d.result(command.ID)
			synctest.Wait() // the store knows the result before the dispatcher has learned from it
			if got := m.model(imei); got != c.model {
				d.Errorf("after %s: model %q", c.text, got)
			}
		}
	})
}

// The end of an older connection says nothing about the newer one.
func TestLateEndOfAnOlderLine(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		older := dev.line
		dev.connect()
		d.Disconnected(imei, older)
		d.submit(newCommand(imei, "still-here"))
		if e := d.result("still-here"); e.State != command.Answered {
			d.Errorf("%s", e.State)
		}
	})
}

// An older login that is told of later takes nothing away from the newer one.
func TestLoginsToldOutOfOrder(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		older, newer := nextNumber(), nextNumber()
		dev := &device{dispatcher: d, imei: imei, plan: map[string]manner{}, got: map[string][]time.Time{}}
		first, second := &line{device: dev}, &line{device: dev}
		d.Connected(imei, newer, second)
		d.Connected(imei, older, first)
		d.Disconnected(imei, first)
		d.submit(newCommand(imei, "there"))
		if e := d.result("there"); e.State != command.Answered {
			d.Errorf("%s", e.State)
		}
		if !d.isConnected(imei) {
			d.Error("the device is not connected")
		}
	})
}

// What a device sends in the form of answers, without end and unasked, keeps the store busy for so much and no
// more. It is data all the same, and the answer is found.
func TestUnaskedMessagesKeepNoStoreBusy(t *testing.T) {
	asked := 0
	withBent(t, func(b *bent) { b.settled = func() { asked++ } }, func(d *dispatcher, _ *bent) {
		dev := d.newDevice(imei)
		dev.plan["asked"] = staysSilent
		const messages = 2000
		for range messages {
			if dev.say(teltonika.Codec12, teltonika.TypeResponse, "", make([]byte, 1000)) {
				d.Fatal("an answer that nobody has asked for")
			}
			synctest.Wait()
		}
		if asked < 100 || asked > 300 {
			d.Errorf("the store was asked about %d of %d messages", asked, messages)
		}
		if dropped := d.metric("teltonika_device_messages_total", "dropped"); dropped != messages-asked {
			d.Errorf("%d of %d messages counted as not asked about", dropped, messages)
		}
		d.submit(newCommand(imei, "asked"))
		testkit.Eventually(d, "it is sent", func() bool {
			dev.mu.Lock()
			defer dev.mu.Unlock()
			return len(dev.got["asked"]) == 1
		})
		synctest.Wait()
		if !dev.answer(teltonika.Codec12, teltonika.TypeResponse, "asked") {
			d.Error("the answer is taken for data")
		}
		if e := d.result("asked"); e.State != command.Answered {
			d.Errorf("%s", e.State)
		}
	})
}

// A store that hangs while an answer is awaited holds the device up once, for a moment: what it says is data then.
func TestHangingStoreHoldsNoDeviceUp(t *testing.T) {
	var release chan struct{}
	withBent(t, func(b *bent) {
		release = make(chan struct{})
		b.settled = func() { <-release }
	}, func(d *dispatcher, _ *bent) {
		dev := d.newDevice(imei)
		dev.plan["asked"] = staysSilent
		d.submit(newCommand(imei, "asked"))
		synctest.Wait()
		start := time.Now()
		for range 400 {
			if dev.answer(teltonika.Codec12, teltonika.TypeResponse, "asked") {
				d.Error("nobody can know yet that this is the answer")
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			d.Errorf("the device was held up for %v", took)
		}
		close(release)
		if e := d.result("asked"); e.State != command.Answered {
			d.Errorf("%s", e.State)
		}
	})
}

// The policy is asked when a command is about to be sent, however long it has waited.
func TestPolicyChangesWhileACommandWaits(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		dev.plan["first"] = staysSilent
		d.submit(newCommand(imei, "first"))
		d.submit(newCommand(imei, "second"))
		d.result("first")
		policy, err := command.ReadPolicy(strings.NewReader("deny *"))
		if err != nil {
			d.Fatal(err)
		}
		d.SetPolicy(policy)
		if e := d.result("second"); e.State != command.Failed || len(dev.got["second"]) != 0 {
			d.Errorf("%s: %q", e.State, e.Reason)
		}
	})
}

// A device whose command is in hand keeps its connection, until the command has its result.
func TestDismiss(t *testing.T) {
	withDispatcher(t, func(d *dispatcher) {
		dev := d.newDevice(imei)
		dev.plan["asked"] = staysSilent
		d.submit(newCommand(imei, "asked"))
		testkit.Eventually(d, "the command is sent", func() bool {
			e, err := d.Lookup(context.Background(), "asked")
			return err == nil && e.State == command.Sent
		})
		connections := slices.Collect(d.Connections())
		if len(connections) != 1 {
			d.Fatalf("connections: %v", connections)
		}
		c := connections[0]
		if d.Dismiss(c) {
			d.Error("dismissed while its answer is awaited")
		}
		d.result("asked")
		dev.disconnect()
		dev.connect()
		if d.Dismiss(c) {
			d.Error("dismissed by a connection that is no more")
		}
		testkit.Eventually(d, "dismissed", func() bool {
			for c := range d.Connections() {
				return d.Dismiss(c)
			}
			return false
		})
		if n := len(slices.Collect(d.Connections())); n != 0 {
			d.Errorf("%d connections are left", n)
		}
	})
}
