package command_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// counted is a store that other instances share, and that counts what it is asked.
type counted struct {
	command.Store
	lookups atomic.Int64
}

func (c *counted) Shared() bool { return true }

func (c *counted) Lookup(ctx context.Context, id string) (command.Entry, error) {
	c.lookups.Add(1)
	return c.Store.Lookup(ctx, id)
}

func withCounted(t *testing.T, test func(*dispatcher, *counted)) {
	t.Helper()
	c := &counted{}
	withStore(t, func(s command.Store) command.Store {
		c.Store = s
		return c
	}, func(d *dispatcher) { test(d, c) })
}

// between is a time that no regular look at the store meets.
const between = 12345678 * time.Microsecond

// A request got its result up to half a second late, and asked the store 40 times in 20 s, although this instance
// finished the command.
func TestRequestIsWokenByTheDispatcherThatFinishesItsCommand(t *testing.T) {
	withCounted(t, func(d *dispatcher, c *counted) {
		dev := d.newDevice(imei)
		dev.plan["slow"] = staysSilent
		d.submit(newCommand(imei, "slow"))
		begin := time.Now()
		time.AfterFunc(between, func() { dev.answer(teltonika.Codec12, teltonika.TypeResponse, "slow") })
		if e := d.result("slow"); e.State != command.Answered || len(e.Response) == 0 {
			d.Errorf("%s: %s, answer %q", e.State, e.Reason, e.Response)
		}
		if took := time.Since(begin); took != between {
			d.Errorf("answered after %v, known after %v", between, took)
		}
		if n := c.lookups.Load(); n > 3 {
			d.Errorf("the store was asked %d times", n)
		}
	})
}

// All who wait for a command are woken, by whatever ends it here.
func TestAllRequestsAreWokenByAnyEnd(t *testing.T) {
	withCounted(t, func(d *dispatcher, c *counted) {
		d.submit(newCommand(imei, "cancelled")) // for a device that is not here
		done := make(chan command.Entry, 3)
		for range cap(done) {
			go func() { done <- d.result("cancelled") }()
		}
		time.Sleep(between)
		if _, err := d.Cancel(context.Background(), "cancelled"); err != nil {
			d.Fatal(err)
		}
		synctest.Wait()
		if len(done) != cap(done) {
			d.Errorf("%d of %d requests were woken", len(done), cap(done))
		}
		for range cap(done) {
			if e := <-done; e.State != command.Cancelled {
				d.Errorf("%s: %s", e.State, e.Reason)
			}
		}
	})
}

// The store is asked for what another instance may finish: the device is not here, or goes while its command is in
// flight.
func TestRequestFindsWhatAnotherInstanceFinishes(t *testing.T) {
	withCounted(t, func(d *dispatcher, c *counted) {
		d.submit(newCommand("356307042441099", "elsewhere"))
		dev := d.newDevice(imei)
		dev.plan["moved"] = staysSilent
		d.submit(newCommand(imei, "moved"))
		for _, id := range []string{"elsewhere", "moved"} {
			ended := make(chan time.Time, 1)
			go func() { d.result(id); ended <- time.Now() }()
			time.Sleep(time.Second)
			if id == "moved" {
				dev.disconnect()
			}
			time.Sleep(between - 4*time.Second)
			e, err := c.Store.Lookup(context.Background(), id)
			if err == nil {
				_, err = c.Store.Finish(context.Background(), e.Finished(command.Failed, "elsewhere", time.Now()), patience)
			}
			if err != nil {
				d.Fatal(err)
			}
			finished := time.Now()
			if late := (<-ended).Sub(finished); late > 500*time.Millisecond {
				d.Errorf("%s: the result was known %v late", id, late)
			}
		}
	})
}

// A request that ends before its command tells how far that has come.
func TestRequestThatEndsBeforeItsCommand(t *testing.T) {
	withCounted(t, func(d *dispatcher, c *counted) {
		dev := d.newDevice(imei)
		dev.plan["slow"] = staysSilent
		d.submit(newCommand(imei, "slow"))
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		e, err := d.Await(ctx, command.Entry{Command: newCommand(imei, "slow"), State: command.Queued})
		if err != ctx.Err() || e.State != command.Sent {
			d.Errorf("%s, %v", e.State, err)
		}
	})
}
