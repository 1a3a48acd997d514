package limit

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Unix(1_800_000_000, 0)

func TestBucketGrantsABurstAndThenARate(t *testing.T) {
	r := Rate{Burst: 10, Interval: time.Second}
	var b Bucket
	if b.Take(11, start, r) {
		t.Error("more than the burst at once")
	}
	for i := range 10 {
		if !b.Has(1, start, r) || !b.Take(1, start, r) {
			t.Fatalf("only %d of the burst", i)
		}
	}
	if b.Has(1, start, r) || b.Take(1, start, r) {
		t.Error("more than the burst")
	}
	if !b.Take(3, start.Add(3*time.Second), r) || b.Take(1, start.Add(3*time.Second), r) {
		t.Error("not three after three seconds")
	}
	b.Give(2, r)
	if !b.Take(2, start.Add(3*time.Second), r) || b.Take(1, start.Add(3*time.Second), r) {
		t.Error("not the two that were given back")
	}
	if later := start.Add(time.Hour); !b.Take(10, later, r) || b.Take(1, later, r) {
		t.Error("not exactly the burst after an hour")
	}
}

func TestBucketTellsHowLongToWait(t *testing.T) {
	r := Rate{Burst: 10, Interval: time.Second}
	var b Bucket
	if wait := b.Wait(10, start, r); wait != 0 {
		t.Errorf("a full bucket has to be waited for %v", wait)
	}
	b.Take(8, start, r)
	for n, want := range map[int]time.Duration{2: 0, 3: time.Second, 10: 8 * time.Second} {
		if wait := b.Wait(n, start, r); wait != want {
			t.Errorf("%d are there after %v, want %v", n, wait, want)
		}
		if later := start.Add(want); !b.Has(n, later, r) || want > 0 && b.Has(n, later.Add(-1), r) {
			t.Errorf("%d are not there exactly after %v", n, want)
		}
	}
	if wait := b.Wait(10, start.Add(-time.Hour), r); wait != 0 {
		t.Errorf("after the clock went back, a wait of %v", wait)
	}
}

func TestBucketToTheNanosecond(t *testing.T) {
	r := Rate{Burst: 10, Interval: time.Second}
	var b Bucket
	for _, c := range []struct {
		after time.Duration
		n     int
		want  bool
	}{
		{0, 11, false}, {0, 10, true}, {0, 1, false}, {time.Second - 1, 1, false}, {time.Second, 1, true},
		{4 * time.Second, 4, false},
		{4 * time.Second, 3, true}, {time.Hour, 10, true}, {time.Hour, 1, false}, {-time.Hour, 10, true},
		{-time.Hour, 1, false},
	} {
		if got := b.Take(c.n, start.Add(c.after), r); got != c.want {
			t.Errorf("%d after %v: %v, want %v", c.n, c.after, got, c.want)
		}
	}
}

// Those who need many at once get them among those who need few, and the rate holds.
func TestBucketWithDebtStarvesNobody(t *testing.T) {
	r := Rate{Burst: 10, Interval: time.Second, Debt: 100}
	var b Bucket
	few, many := 0, 0
	for s := range 10_000 {
		now := start.Add(time.Duration(s) * time.Second)
		if s%2 == 0 && b.Take(100, now, r) {
			many++
		}
		if b.Take(1, now, r) {
			few++
		}
	}
	if total := few + 100*many; many < 40 || total < 9_900 || total > 10_110 {
		t.Errorf("%d times 1 and %d times 100 in 10,000 s", few, many)
	}
	if b = (Bucket{}); b.Take(101, start, r) || !b.Take(9, start, r) || !b.Take(100, start, r) || b.Take(1, start, r) {
		t.Error("not one debt")
	}
	if wait := b.Wait(100, start, r); wait != 100*time.Second || b.Take(100, start.Add(wait-1), r) ||
		!b.Take(100, start.Add(wait), r) {
		t.Errorf("waits for %v", wait)
	}
}

// A bucket that was used up before the clock was set back is full, and not empty for as long as that.
func TestBucketAfterTheClockWentBack(t *testing.T) {
	r := Rate{Burst: 5, Interval: time.Second}
	var b Bucket
	b.Take(5, start, r)
	if before := start.Add(-time.Hour); !b.Take(5, before, r) || b.Take(1, before, r) {
		t.Error("not the burst")
	}
}

func TestBucketHasNoMoreForManyAtOnce(t *testing.T) {
	r := Rate{Burst: 1000, Interval: time.Hour}
	var (
		b     Bucket
		taken atomic.Int64
		all   sync.WaitGroup
	)
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if b.Take(1, start, r) {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != 1000 {
		t.Errorf("%d taken of 1000", taken.Load())
	}
}

// Two tables put the same keys into different cells: nobody can know which keys share one.
func TestTablesAreSeeded(t *testing.T) {
	a, b := NewTable[Bucket](1<<16), NewTable[Bucket](1<<16)
	same := 0
	for i := range 1000 {
		key := string(rune('a'+i%26)) + time.Duration(i).String()
		if once, again := a.Of(key), a.Of(key); once != again {
			t.Fatal("a key has two cells")
		}
		if index(a, a.Of(key)) == index(b, b.Of(key)) {
			same++
		}
	}
	if same > 20 {
		t.Errorf("%d of 1000 keys have the same cell in two tables", same)
	}
}

func index(t *Table[Bucket], cell *Bucket) int {
	for i := range t.cells {
		if &t.cells[i] == cell {
			return i
		}
	}
	return -1
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::",
		"2001:db8:0:1::1": "2001:db8:0:1::",
		"fe80::1%eth0":    "fe80::",
	} {
		if got := Network(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s: %v, want %s", address, got, want)
		}
	}
	if _, ok := AddressOf(&net.UnixAddr{}); ok {
		t.Error("a unix socket has a network")
	}
}

func TestTakingAllocatesNothing(t *testing.T) {
	table, r, address := NewTable[Bucket](1<<10), PerSecond(1000, 1000), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() {
		table.Of("356307042441013").Take(1, start, r)
		table.OfAddress(address).Take(1, start, r)
		table.OfSource(address, "356307042441013").Take(1, start, r)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
