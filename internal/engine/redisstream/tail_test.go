package redisstream

import (
	"context"
	"errors"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// A tail outlives its Redis and misses nothing.
func TestTailGoesOnAfterRestart(t *testing.T) {
	r := testkit.StartRedis(t, durable...)
	e := use(t, r, Options{})
	mustStore(t, e, 0, 5)
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan string, 100)
	result := make(chan error, 1)
	go func() {
		result <- e.Tail(ctx, true, func(payload []byte) error { seen <- string(payload); return nil })
	}()
	want := func(first, n int) {
		t.Helper()
		for _, record := range enginetest.NewBatch(device, first, n).Records {
			if got := <-seen; got != string(record.Payload) {
				t.Fatalf("got %s, want %s", got, record.Payload)
			}
		}
	}
	want(0, 5)
	for round := 1; round < 4; round++ {
		r.Restart()
		mustStore(t, e, 5*round, 5)
		want(5*round, 5)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("tail ended with %v", err)
	}
}

func TestTailSkipsOthersEntries(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	r.Do("XADD", testStream, "*", "note", "not a record")
	b := mustStore(t, e, 0, 1)
	enough := errors.New("enough")
	err := e.Tail(limited(t), true, func(payload []byte) error {
		if string(payload) != string(b.Records[0].Payload) {
			t.Errorf("got %s", payload)
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Errorf("tail ended with %v", err)
	}
}

func TestTailWithoutTheRight(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("ACL", "SETUSER", "writer", "on", ">secret", "~*", "+xadd")
	e := use(t, r, Options{URL: "redis://writer:secret@" + r.Addr()})
	for _, fromStart := range []bool{false, true} {
		err := e.Tail(limited(t), fromStart, func([]byte) error { return nil })
		wantFate(t, err, false, false, "NOPERM")
	}
}
