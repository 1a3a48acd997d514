package shed

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// fleet are devices in memory.
type fleet struct {
	mu        sync.Mutex
	connected []command.Connection
	busy      map[string]bool // with a command in hand
	gone      []departure
}

type departure struct {
	imei string
	at   time.Time
}

// newFleet are so many devices that have been connected for so long.
func newFleet(n int, since time.Duration) *fleet {
	f := &fleet{busy: make(map[string]bool)}
	f.connect(n, since)
	return f
}

func (f *fleet) connect(n int, since time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		number := len(f.gone) + len(f.connected) + 1
		f.connected = append(f.connected, command.Connection{IMEI: fmt.Sprint(number), Since: time.Now().Add(-since),
			Number: uint64(number)})
	}
}

// Connections implements Devices.
func (f *fleet) Connections() iter.Seq[command.Connection] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Values(slices.Clone(f.connected))
}

// Dismiss implements Devices.
func (f *fleet) Dismiss(c command.Connection) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Not by all of c: age changes how long a device has been connected while it is shed.
	i := slices.IndexFunc(f.connected, func(o command.Connection) bool { return o.Number == c.Number })
	if i < 0 || f.busy[c.IMEI] {
		return false
	}
	f.connected = slices.Delete(f.connected, i, i+1)
	f.gone = append(f.gone, departure{c.IMEI, time.Now()})
	return true
}

// age has all devices have been connected for long.
func (f *fleet) age() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.connected {
		f.connected[i].Since = time.Now().Add(-time.Hour)
	}
}

// departed are the IMEIs of the devices that have gone, in their order.
func (f *fleet) departed() (imeis []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.gone {
		imeis = append(imeis, d.imei)
	}
	return imeis
}

func TestAllIsSpreadEvenly(t *testing.T) {
	for _, n := range []int{1, 7, 500, 4_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const over = 4 * time.Second
				f, began := newFleet(n, 0), time.Now()
				All(t.Context(), f, over)
				if len(f.gone) != n {
					t.Fatalf("%d of %d dismissed", len(f.gone), n)
				}
				for i, d := range f.gone {
					due := over * time.Duration(i) / time.Duration(n)
					if late := d.at.Sub(began) - due; late < -tick || late > tick {
						t.Fatalf("device %d of %d dismissed after %v, want %v", i, n, d.at.Sub(began), due)
					}
				}
			})
		})
	}
}

func TestAllIsInRandomOrder(t *testing.T) {
	const n = 100
	orders := make(map[string]bool)
	for range 3 {
		f := newFleet(n, 0)
		All(t.Context(), f, 0)
		orders[fmt.Sprint(f.departed())] = true
	}
	if len(orders) < 3 {
		t.Error("the same order twice")
	}
}

func TestAllLeavesDevicesWithACommand(t *testing.T) {
	f := newFleet(10, 0)
	f.busy["3"] = true
	All(t.Context(), f, 0)
	if len(f.connected) != 1 || f.connected[0].IMEI != "3" {
		t.Errorf("left: %v", f.connected)
	}
}

func TestAllEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
		defer cancel()
		f := newFleet(100, 0)
		All(ctx, f, 10*time.Second)
		if len(f.gone) != 11 {
			t.Errorf("%d dismissed in the first second of ten, want 11", len(f.gone))
		}
	})
}
