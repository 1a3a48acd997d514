package redisstore

import (
	"context"
	"fmt"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/commandtest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestStreamsAreBounded: what comes by a stream and finds no room has its result at once, which says why, and leaves
// nothing behind. Its id may be tried again.
func TestStreamsAreBounded(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	var ids []string
	for i := range command.MaxOpenOfDevice {
		c := newCommand(deviceA)
		c.ID = fmt.Sprint("early-", i)
		a.submit(t, c)
		ids = append(ids, c.ID)
	}
	refused := 0
	for _, name := range []string{"commands:inbox", "commands:outbound:a"} {
		for i := range 3 {
			r.Do("XADD", name, "*", "id", fmt.Sprint("late-", i), "imei", deviceA, "payload", "getinfo")
		}
		refused += 3
		testkit.Eventually(t, "the results", func() bool { return len(results(t, r)) == refused })
		testkit.Eventually(t, "an empty stream", func() bool { return r.Do("XLEN", name) == int64(0) })
	}
	for _, e := range results(t, r) {
		if e.State != command.Failed || e.Reason != command.ReasonTooMany || e.IMEI != deviceA || e.Instance != "a" {
			t.Errorf("result %+v", e)
		}
	}
	if n := r.Do("EXISTS", "commands:command:late-0"); n != int64(0) {
		t.Error("a refused command is kept")
	}
	if _, err := a.Cancel(context.Background(), ids[0]); err != nil {
		t.Fatal(err)
	}
	r.Do("XADD", "commands:inbox", "*", "id", "late-0", "imei", deviceA, "payload", "getinfo")
	testkit.Eventually(t, "the id being taken now", func() bool {
		e, err := a.Lookup(context.Background(), "late-0")
		return err == nil && e.Parked
	})
	for _, e := range a.AllFinished() {
		if e.ID == "late-1" && e.Reason == command.ReasonTooMany {
			return
		}
	}
	t.Error("the receiver was not told")
}

// TestStreamToADeviceByDatagrams: it has its result at once.
func TestStreamToADeviceByDatagrams(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	r.Do("XADD", "commands:inbox", "*", "id", "udp", "imei", commandtest.ByDatagrams, "payload", "getinfo")
	if e := a.wantEnd(t, r, "udp", command.Failed); e.Reason != command.ReasonUnreachable || e.Attempts != 0 {
		t.Errorf("%+v", e)
	}
}

// TestListsHealThemselves: an instance of an earlier version ends commands and leaves them on the lists of open ones.
func TestListsHealThemselves(t *testing.T) {
	r := testkit.StartRedis(t)
	a := start(t, r, "a")
	for i := range command.MaxOpenOfDevice {
		c := newCommand(deviceA)
		c.ID = fmt.Sprint("c-", i)
		a.submit(t, c)
	}
	for i := range 5 { // what it does to a command that it cancels
		id := fmt.Sprint("c-", i)
		r.Do("HSET", commandKey(id), "state", "cancelled")
		r.Do("ZREM", "commands:due", id)
	}
	a.submit(t, newCommand(deviceA))
	q := command.Query{IMEI: deviceA, Open: true, Limit: command.MaxPage}
	p, err := a.List(context.Background(), q)
	if err != nil || len(p.Entries) != command.MaxPage {
		t.Fatalf("%d listed, %v", len(p.Entries), err)
	}
	q.Before = p.Next
	if p, err = a.List(context.Background(), q); err != nil || len(p.Entries) != 52 || p.Next != 0 {
		t.Errorf("%d listed, next %d, %v", len(p.Entries), p.Next, err)
	}
	q.IMEI, q.Before, q.Limit = "", 0, 1
	for more := true; more; more = p.Next != 0 { // read to the end, the list of all has healed too
		if p, err = a.List(context.Background(), q); err != nil {
			t.Fatal(err)
		}
		q.Before = p.Next
	}
	if n := r.Do("ZCARD", "commands:open"); n != int64(252) {
		t.Errorf("%v open commands are listed", n)
	}
}
