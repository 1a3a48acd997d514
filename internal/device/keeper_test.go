package device_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
)

// countingStore keeps nothing, and counts what it is asked to keep.
type countingStore struct {
	devices, calls atomic.Int64
	away           atomic.Bool // takes no beat
}

func (*countingStore) Load(context.Context, []string) ([]device.Kept, error) { return nil, nil }

func (s *countingStore) Save(_ context.Context, d []device.Kept) error {
	s.devices.Add(int64(len(d)))
	s.calls.Add(1)
	return nil
}

func (s *countingStore) Beat(context.Context, string) error {
	if s.away.Load() {
		return errAway
	}
	return nil
}

func (*countingStore) List(context.Context, device.State, string, int) ([]device.Kept, error) {
	return nil, nil
}
func (*countingStore) Heard(context.Context) (map[string]time.Duration, error) { return nil, nil }
func (*countingStore) Forget(context.Context, []string) error                  { return nil }
func (*countingStore) Shared() bool                                            { return true }
func (*countingStore) Close() error                                            { return nil }

// What devices do is saved by and by: a login soon, what is only counted every five minutes, and of a fleet that comes
// back at once some at a time.
func TestSavesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const fleet = 7000
		store := new(countingStore)
		m := startAs(t, "gate-1", store)
		all := make([]*device.Device, fleet)
		for i := range all {
			all[i] = m.Hold(fmt.Sprint(i))
			all[i].LoggedIn(device.Visit{At: time.Now(), Address: "198.51.100.7:40312", Transport: "tcp"})
		}
		before := int64(0)
		saved := func(after time.Duration) int64 {
			time.Sleep(after)
			synctest.Wait()
			n := store.devices.Load() - before
			before += n
			return n
		}
		if n := saved(6 * time.Second); n < 4000 || n > 6000 {
			t.Errorf("%d logins saved in the first look", n)
		}
		if n := saved(time.Minute) + before; before != fleet {
			t.Errorf("%d logins saved in all, %d in the end", n, before)
		}
		for range 10 { // each minute a frame
			for _, d := range all {
				d.Heard(device.Frame{Received: time.Now(), Codec: "8E", Acknowledged: 1})
				d.Stored(device.Outcome{At: time.Now(), Stored: 1})
			}
			time.Sleep(time.Minute)
		}
		if n := saved(0); n < fleet || n > 2*fleet+fleet/10 {
			t.Errorf("%d saved in ten minutes", n)
		}
		t.Logf("%d calls", store.calls.Load())
		m.stop()
		if n := saved(0); n > fleet {
			t.Errorf("%d saved at the end", n)
		}
	})
}

// Whoever could not say for long that he lives says again which devices are connected: others have taken them for gone.
func TestDevicesAreSavedAgainAfterALongSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(countingStore)
		m := startAs(t, "gate-1", store)
		defer m.stop()
		_, end := m.connect(one)
		defer end("peer_closed")
		_, gone := m.connect("2")
		gone("peer_closed")
		for _, c := range []struct {
			silence time.Duration
			saved   int64
		}{{30 * time.Second, 2}, {2 * time.Minute, 1}} {
			store.devices.Store(0)
			time.Sleep(10 * time.Second)
			store.away.Store(true)
			time.Sleep(c.silence)
			store.away.Store(false)
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := store.devices.Load(); n != c.saved {
				t.Errorf("%d saved around a silence of %v, want %d", n, c.silence, c.saved)
			}
		}
	})
}

// While the store is away a device comes back again and again, and waits once to be loaded.
func TestDevicesWaitOnceToBeLoaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := device.New(device.Options{Store: new(countingStore), Instance: "gate-1",
			Metrics: device.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
		for range 5 { // nobody loads: the memory does not run
			m.Hold(one).Release()
			time.Sleep(2 * time.Minute)
		}
		if n := device.Queued(m); n != 1 {
			t.Errorf("the device waits %d times", n)
		}
	})
}
