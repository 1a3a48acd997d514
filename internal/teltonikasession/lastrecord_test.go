package teltonikasession

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// at is a record of now or some time ago, of a vehicle that drives at that speed, with the ignition on.
func at(ago time.Duration, speed uint16) teltonika.Record {
	r := fresh(1)[0]
	r.Timestamp, r.Speed = uint64(time.Now().Add(-ago).UnixMilli()), speed
	return r
}

// sendIf sends getinfo if the condition is met, and returns why it is not.
func sendIf(t *testing.T, to command.Sender, text string) error {
	t.Helper()
	onlyIf, err := condition.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	_, err = to.Send(context.Background(), commandFrame(t), onlyIf)
	return err
}

// wantNotMet makes sure that the condition was not met, for that reason, and that the device has got nothing.
func wantNotMet(d *tracker, err error, why string) {
	d.Helper()
	var notMet *condition.NotMet
	if !errors.As(err, &notMet) || !strings.Contains(notMet.Why, why) {
		d.Errorf("%v, want a condition that is not met: %s", err, why)
	}
	d.expect("")
}

func TestCondition(t *testing.T) {
	withConditions := func(o *Options) { o.Signals = true }
	for _, c := range []struct {
		name      string
		records   []teltonika.Record
		after     time.Duration // the frame
		condition string
		why       string // it is not met; empty if the command is sent
	}{
		{"standing", []teltonika.Record{ago(0, 0)}, 0, "speed<5", ""},
		{"standing for long", []teltonika.Record{ago(0, 0)}, 59 * time.Second, "speed<5", ""},
		{"moving", []teltonika.Record{ago(0, 43)}, 0, "speed<5", "speed is 43, must be < 5"},
		{"a signal", []teltonika.Record{ago(0, 0)}, 0, "ignition=on,external.powersource.voltage>24", ""},
		{"another signal", []teltonika.Record{ago(0, 0)}, 0, "ignition=off", "engine.ignition.status is true"},
		{"not sent", []teltonika.Record{ago(0, 0)}, 0, "movement=off", "movement.status is not in the record"},
		{"the newest of the frame", []teltonika.Record{ago(10*time.Second, 0), ago(0, 43), ago(5*time.Second, 0)}, 0,
			"speed<5", "speed is 43"},
		{"old", []teltonika.Record{ago(0, 0)}, 61 * time.Second, "speed<5", "the last record is 1m1s old"},
		{"older than it arrived", []teltonika.Record{ago(30*time.Second, 0)}, 31 * time.Second, "speed<5", "1m1s old"},
		{"as old as allowed", []teltonika.Record{ago(30*time.Second, 0)}, 31 * time.Second, "speed<5,age<=2m", ""},
		{"kept for an hour", []teltonika.Record{ago(time.Hour, 0)}, 0, "speed<5", "the last record is 1h0m0s old"},
		{"of tomorrow", []teltonika.Record{ago(-2*time.Hour, 0)}, 0, "speed<5", "the last record is 2h0m0s old"},
		{"none", nil, firstACKTimeout, "speed<5", "no record on this connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &switchboard{}
			serve(t, func(s *service) {
				d := s.login()
				if c.records != nil {
					d.send(frameOf(teltonika.Codec8, atNow(c.records)...))
					d.expect(ack(len(c.records)))
				}
				pass(c.after)
				err := sendIf(t, b.sender(), c.condition)
				if c.why != "" {
					wantNotMet(d, err, c.why)
					return
				}
				if err != nil {
					t.Error(err)
				}
				d.expect(hex.EncodeToString(commandFrame(t)))
			}, withDevices, withConditions, func(o *Options) { o.Commands = b })
		})
	}
}

// ago is a record whose timestamp is how long ago it is; atNow makes times of that, by the clock of the test's bubble.
func ago(d time.Duration, speed uint16) teltonika.Record {
	r := at(0, speed)
	r.Timestamp = uint64(d)
	return r
}

func atNow(records []teltonika.Record) (all []teltonika.Record) {
	for _, r := range records {
		r.Timestamp = uint64(time.Now().Add(-time.Duration(r.Timestamp)).UnixMilli())
		all = append(all, r)
	}
	return all
}

// TestConditionBehindAFrame has the vehicle start while the command waits for the frame in hand: what that says counts,
// though the one before said otherwise when the command was asked for.
func TestConditionBehindAFrame(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.send(frameOf(teltonika.Codec8, at(0, 0)))
		d.expect(ack(1))
		frame := frameOf(teltonika.Codec8, at(0, 43))
		d.send(frame[:20])
		done := make(chan error, 1)
		to := b.sender()
		go func() { done <- sendIf(t, to, "speed<5") }()
		d.expect("")
		d.send(frame[20:])
		d.expect(ack(1))
		wantNotMet(d, <-done, "speed is 43")
	})
}

// TestConditionOnANewConnection knows nothing of what came on the one before, here or elsewhere.
func TestConditionOnANewConnection(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.send(frameOf(teltonika.Codec8, at(0, 0)))
		d.expect(ack(1))
		d = s.login()
		pass(firstACKTimeout)
		wantNotMet(d, sendIf(t, b.sender(), "speed<5"), "no record on this connection")
		d.send(frameOf(teltonika.Codec8, at(0, 0)))
		d.expect(ack(1))
		if err := sendIf(t, b.sender(), "speed<5"); err != nil {
			t.Error(err)
		}
	})
}

// TestConditionOnALargeRecord has a record that is too large to be kept make the one before it count no more.
func TestConditionOnALargeRecord(t *testing.T) {
	withCommands(t, func(s *service, b *switchboard) {
		d := s.login()
		d.send(frameOf(teltonika.Codec8E, at(0, 0)))
		large := at(0, 43)
		large.AddBytes(385, teltonika.GroupX, make([]byte, maxLast))
		d.send(frameOf(teltonika.Codec8E, large))
		d.expect(ack(1) + ack(1))
		wantNotMet(d, sendIf(t, b.sender(), "speed<5"), "no record on this connection")
	})
}

// TestAgeOfTheLastRecord has no clock alone make a record young.
func TestAgeOfTheLastRecord(t *testing.T) {
	received := time.Now()
	set := func(by time.Duration) time.Time { return received.Add(by).Round(0) } // without the monotonic clock
	forever := time.UnixMilli(253402300799999)                                   // the end of the year 9999
	for _, c := range []struct {
		name           string
		timestamp, now time.Time
		least, most    time.Duration
	}{
		{"both clocks go on", received, received.Add(time.Minute), time.Minute, time.Minute},
		{"the machine slept", received, set(time.Hour), time.Hour, time.Hour},
		{"the clock was set back", received.Add(-time.Minute), set(-time.Hour), time.Minute, time.Minute},
		{"the end of time", forever, received.Add(time.Minute), condition.MaxAge + 1, 1 << 62},
		{"the beginning of time", time.UnixMilli(0), received, condition.MaxAge + 1, 1 << 62},
	} {
		l := lastRecord{received: received}
		if age := l.age(c.timestamp, c.now); age < c.least || age > c.most {
			t.Errorf("%s: %v old, want %v to %v", c.name, age, c.least, c.most)
		}
	}
}

// TestLastRecordAllocatesNothing once it is warm.
func TestLastRecordAllocatesNothing(t *testing.T) {
	var data teltonika.AVLData
	if err := data.Decode(teltonika.Frame(frameOf(teltonika.Codec8E, fresh(3)...)).Body()); err != nil {
		t.Fatal(err)
	}
	w := &frameContext{newest: newest(data.Records)}
	w.Received, w.Codec = time.Now(), data.Codec
	var last lastRecord
	last.keep(w)
	if n := testing.AllocsPerRun(100, func() { last.keep(w) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
