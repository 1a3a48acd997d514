package redisstore

import (
	"context"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestBegunWhereTheDeviceIsNot has an instance ask for the lease of a device that another one has by now, and repeat a
// call that was granted before the device moved.
func TestBegunWhereTheDeviceIsNot(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := alone(t, r, "a"), alone(t, r, "b")
	ctx := context.Background()
	login := time.Now()
	a.connectSince(deviceA, login)
	if err := a.writeSessions(ctx); err != nil {
		t.Fatal(err)
	}
	queued, granted := newCommand(deviceA), newCommand(deviceA)
	a.submit(t, queued)
	a.submit(t, granted)
	// one that is not known has no effect before it has answered
	if err := scriptBegin.Load(ctx, a.client).Err(); err != nil {
		t.Fatal(err)
	}
	unanswered(t, r, func(ctx context.Context) error { _, err := a.Begin(ctx, granted.ID, patient); return err })
	testkit.Eventually(t, "the effect", func() bool { return a.lookup(t, granted.ID).State == command.Sent })
	b.connectSince(deviceA, login.Add(time.Second))
	if err := b.writeSessions(ctx); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{queued.ID, granted.ID, queued.ID} {
		if lease, err := a.Begin(ctx, id, patient); err != nil || lease.Granted || lease.Wait != 0 || lease.Ended ||
			lease.Entry.State != command.Queued {
			t.Errorf("begin: %+v, %v", lease, err)
		}
		wantAt(t, r, id, "commands:outbound:b")
	}
	// What is left is that the device has been taken over.
	if here, there := r.Do("XLEN", "commands:outbound:a"), r.Do("XLEN", "commands:outbound:b"); here != int64(1) ||
		there != int64(2) {
		t.Errorf("%v entries are left, %v are there", here, there)
	}
	b.grant(t, queued.ID, patient)
}
