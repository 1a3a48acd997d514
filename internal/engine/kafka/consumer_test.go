package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestConsumerCountsWhatExpired removes records that the group has not read, as the topic's retention does.
func TestConsumerCountsWhatExpired(t *testing.T) {
	topic := newTopics(t, broker, 1, 1)
	e := open(t, broker.Addrs(), topic)
	t.Cleanup(func() { _ = e.Close() })
	if err := e.Store(t.Context(), 0, enginetest.NewBatch(device, 0, 10)); err != nil {
		t.Fatal(err)
	}
	read := func(want int) engine.Consumer {
		t.Helper()
		c, err := e.Consumer(t.Context(), "expired")
		if err != nil {
			t.Fatal(err)
		}
		for got := 0; got < want; {
			page, err := c.Next(t.Context(), want-got, testkit.Timeout)
			if err != nil {
				t.Fatal(err)
			}
			got += len(page)
		}
		if err := c.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	_ = read(4).Close()
	var before kadm.Offsets
	before.Add(kadm.Offset{Topic: topic, At: 7})
	if _, err := e.admin.DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	c := read(3)
	defer c.Close()
	testkit.Succeeds(t, "the lag", 10*time.Second, func() error {
		g, err := c.Lag(t.Context())
		if err == nil && (g.Expired != 3 || g.Unread != 0) {
			t.Fatalf("the lag is %+v, want 3 expired and all others read", g)
		}
		return err
	})
}
