package redisstream

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// Something between the engine and Redis keeps the connection open although nothing behind it answers any more. The
// lane gives the connection up by itself, and the retry stores each record once.
func TestStoreOnAConnectionThatIsOnlyOpen(t *testing.T) {
	r := testkit.StartRedis(t)
	var hung atomic.Bool
	release := make(chan struct{})
	p := startRelay(t, r, func(command []string) (string, bool) {
		if isXADD(command, testStream) && hung.CompareAndSwap(false, true) {
			<-release
			return "-ERR gone\r\n", true
		}
		return "", false
	})
	defer close(release)
	e := use(t, r, Options{URL: p.url()})
	e.patience = 200 * time.Millisecond
	b := enginetest.NewBatch(device, 0, 20)
	// Without a deadline of the caller's: nothing but the lane itself can end the wait.
	wantFate(t, e.Store(context.Background(), 0, b), true, true, "")
	if err := e.Store(limited(t), 0, enginetest.Sized(b)); err != nil {
		t.Fatal(err)
	}
	wantPayloads(t, r, b)
}
