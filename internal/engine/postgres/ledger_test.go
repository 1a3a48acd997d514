package postgres

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const (
	lanesDevices = 5  // of each lane
	deviceBatch  = 20 // records of each device in a batch, beside a dead letter and a message
)

// ledger has every lane of an engine store batch after batch, as the publisher does, and keeps what was confirmed.
type ledger struct {
	e       *Engine
	stop    chan struct{}
	running sync.WaitGroup
	count   atomic.Int64 // batches confirmed
	failed  atomic.Int64 // attempts
	id      atomic.Uint64

	mu        sync.Mutex
	confirmed map[string]int // batches by device
}

// startLedger begins, and ends with the test.
func startLedger(t *testing.T, e *Engine) *ledger {
	t.Helper()
	l := &ledger{e: e, stop: make(chan struct{}), confirmed: map[string]int{}}
	for lane, devices := range l.devices() {
		l.running.Go(func() { l.live(t, lane, devices) })
	}
	t.Cleanup(l.end)
	return l
}

// devices are some of each lane.
func (l *ledger) devices() [][]string {
	all := make([][]string, l.e.Lanes())
	for n, missing := 0, len(all); missing > 0; n++ {
		device := fmt.Sprintf("3563070424%05d", n)
		if lane := l.e.Lane(device); len(all[lane]) < lanesDevices {
			if all[lane] = append(all[lane], device); len(all[lane]) == lanesDevices {
				missing--
			}
		}
	}
	return all
}

func (l *ledger) live(t *testing.T, lane int, devices []string) {
	for n := 0; l.store(t, lane, l.batch(devices, n)); n++ {
		l.mu.Lock()
		for _, device := range devices {
			l.confirmed[device]++
		}
		l.mu.Unlock()
		l.count.Add(1)
	}
}

func (l *ledger) batch(devices []string, n int) *engine.Batch {
	b := &engine.Batch{ID: l.id.Add(1)}
	for _, device := range devices {
		b.Records = append(b.Records, enginetest.NewBatch(device, n*deviceBatch, deviceBatch).Records...)
		b.DeadLetters = append(b.DeadLetters, enginetest.NewDeadLetter(device, n))
		b.Messages = append(b.Messages, enginetest.NewMessage(device, n))
	}
	return enginetest.Sized(b)
}

// store tries until the batch is stored, or the ledger ends.
func (l *ledger) store(t *testing.T, lane int, b *engine.Batch) bool {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for doubtful := false; ; {
		select {
		case <-l.stop:
			return false
		default:
		}
		clear(b.Results)
		err := l.e.Store(t.Context(), lane, b)
		if err == nil {
			for i, result := range b.Results {
				if result.Err != nil {
					t.Errorf("item %d: %v", i, result.Err)
					return false
				}
			}
			return true
		}
		if !engine.IsTransient(err) {
			t.Errorf("not transient: %v", err)
			return false
		}
		if doubtful = doubtful || engine.IsAmbiguous(err); !doubtful {
			b.ID = l.id.Add(1) // it may come as another one
		}
		l.failed.Add(1)
		select {
		case <-l.stop:
			return false
		case <-retry.C:
		}
	}
}

// awaitProgress waits until every lane can have stored that many batches more.
func (l *ledger) awaitProgress(t *testing.T, batches int) {
	t.Helper()
	from := l.count.Load()
	testkit.Eventually(t, "batches are stored", func() bool {
		return l.count.Load() >= from+int64(batches*l.e.Lanes()) || t.Failed()
	})
}

func (l *ledger) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.running.Wait()
}

// settle compares what was confirmed with what the server's own client reads: all of it is there, each device's items
// in order, and none of them twice.
func (l *ledger) settle(t *testing.T, sql func(statements string) string) {
	t.Helper()
	l.end()
	records := l.compare(t, "records", deviceBatch,
		sql("SELECT device_id, id FROM records ORDER BY seq"),
		func(device string, n int) string { r := enginetest.NewRecord(device, n); return string(r.ID) })
	dead := l.compare(t, "dead letters", 1,
		sql("SELECT device_id, frame FROM dead_letters ORDER BY seq"),
		func(device string, n int) string {
			return hex.EncodeToString(enginetest.NewDeadLetter(device, n).Frame)
		})
	messages := l.compare(t, "messages", 1,
		sql("SELECT device_id, payload FROM messages ORDER BY seq"),
		func(device string, n int) string { return hex.EncodeToString(enginetest.NewMessage(device, n).Payload) })
	t.Logf("%d batches confirmed, %d attempts failed; %d records, %d dead letters, %d messages stored",
		l.count.Load(), l.failed.Load(), records, dead, messages)
}

// compare looks at lines of device and item. perBatch is how many of a device's items a batch has.
func (l *ledger) compare(
	t *testing.T, what string, perBatch int, lines string, item func(device string, n int) string,
) int {
	t.Helper()
	next := map[string]int{}
	rows, wrong := 0, 0
	for line := range strings.Lines(lines) {
		rows++
		device, found, _ := strings.Cut(strings.TrimSpace(line), "|")
		if want := item(device, next[device]); found != want {
			if wrong++; wrong < 5 {
				t.Errorf("%s of %s: %d is %s, want %s", what, device, next[device], found, want)
			}
			continue
		}
		next[device]++
	}
	if wrong > 0 {
		t.Errorf("%d %s are stored twice or out of order", wrong, what)
	}
	for device, batches := range l.confirmed {
		// The batch in hand at the end may be stored without having been confirmed.
		if n := next[device]; n < batches*perBatch || n > (batches+1)*perBatch {
			t.Errorf("%d %s of %s are stored, %d confirmed", n, what, device, batches*perBatch)
		}
	}
	return rows
}
