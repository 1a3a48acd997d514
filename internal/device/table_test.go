package device

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// Whoever makes IMEIs up fills the room and no more, and takes nothing away from the devices that are connected.
func TestTableUnderAttack(t *testing.T) {
	const size, honest, madeUp = 1024, 300, 10_000
	s, _ := newSubject(t, size, nil)
	connected := make([]*Device, honest)
	for i := range connected {
		connected[i] = s.Hold(imei(i))
		send(connected[i], fmx6Elements...)
	}
	for i := range madeUp {
		d := s.Hold(imei(honest + i))
		send(d, fmx6Elements[i%len(fmx6Elements)])
		d.Release()
		s.HoldClaimed(imei(i)).Release() // of honest devices, too
	}
	if n := s.devices.len(); n > size {
		t.Errorf("%d devices, of %d", n, size)
	}
	if n := s.claimed.len(); n > size {
		t.Errorf("%d devices that only claim to be, of %d", n, size)
	}
	for i, d := range connected {
		again := s.Hold(imei(i))
		if again != d || again.Meaning().Current().Family() != meaning.FMX6 {
			t.Fatalf("device %d is another: %v", i, again.Meaning().Current())
		}
		again.Release()
		d.Release()
	}
}

// The least recently used goes first; those that are held stay, even beyond the room that there is.
func TestTableEvicts(t *testing.T) {
	table := newTable(2 * tableParts)
	hold := func(key string) *Device {
		d, _, _ := table.hold(key, func() *Device { return &Device{key: key, memory: &Memory{}} })
		return d
	}
	part := table.part("0") // all keys of one part
	var keys []string
	for i := 0; len(keys) < 6; i++ {
		if k := imei(i); table.part(k) == part {
			keys = append(keys, k)
		}
	}
	a, b := hold(keys[0]), hold(keys[1])
	table.release(a)
	table.release(b)
	table.release(hold(keys[0])) // used later than b
	c := hold(keys[2])
	if table.find(keys[0]) != a || table.find(keys[1]) != nil {
		t.Error("the one used last had to go")
	}
	held := []*Device{c, hold(keys[3]), hold(keys[4]), hold(keys[5])}
	for i, d := range held {
		if table.find(keys[2+i]) != d {
			t.Errorf("device %d has gone while it is held", i)
		}
	}
	for _, d := range held {
		table.release(d)
	}
	if n := len(part.devices); n != 2 {
		t.Errorf("%d devices in room for 2", n)
	}
}

func TestTableByMany(t *testing.T) {
	s, _ := newSubject(t, 128, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 800 {
				d := s.Hold(imei(i % 300))
				send(d, fmx6Elements[i%len(fmx6Elements)])
				if i%100 == 0 {
					s.SetDictionary(meaning.Embedded())
				}
				d.Release()
			}
		})
	}
	all.Wait()
	if n := s.devices.len(); n > 128 {
		t.Errorf("%d devices", n)
	}
}

// TestMemoryOfADevice says what one costs: all 64 pairs that are kept of the most talkative, after take-overs and an
// error.
func TestMemoryOfADevice(t *testing.T) {
	const n = 20_000
	s, _ := newSubject(t, n, nil)
	var before, after runtime.MemStats
	pairs := manyElements(meaning.MaxPairs)
	send(s.Hold("warm"), pairs...)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n / 2 {
		d := s.Hold(imei(i))
		send(d, pairs...)
		for range maxTakeOvers + 1 {
			d.LoggedIn(Visit{At: time.Now(), Address: fmt.Sprint("198.51.100.7:", 40_000+i), Transport: "tcp"})
		}
		d.Stored(Outcome{At: time.Now(), Stored: 1, Last: LastRecord{Timestamp: Time{time.Now()}, Fix: "ok"}})
		d.Failed(Error{Cause: CauseCRC, Text: strings.Repeat("x", MaxErrorText), First: make([]byte, MaxFirst)})
		d.Release()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc-before.HeapAlloc) / (n / 2)
	t.Logf("%d bytes a device with %d pairs, so %d MiB for %d", each, len(pairs), each*maxDevices>>20, maxDevices)
	if each > 3500 {
		t.Errorf("%d bytes", each)
	}
	runtime.KeepAlive(s)
}

// manyElements are n of different pairs.
func manyElements(n int) (all []meaning.Element) {
	seen := map[meaning.Element]bool{}
	for def := range meaning.Embedded().Definitions() {
		if e := element(def.ID, def.Width); !seen[e] && len(all) < n && def.Width != meaning.Width16 {
			seen[e] = true
			all = append(all, e)
		}
	}
	return all
}
