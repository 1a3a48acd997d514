package authority

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestSetAgainstMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 2, 3, 10, 1000, 100_000} {
		want := make(map[string]struct{})
		var b builder
		for i := range size {
			id := randomIdentifier(r, i)
			want[id] = struct{}{}
			for range 1 + r.IntN(2) { // again and again
				if err := add(&b, id); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := b.build()
		if s.size() != len(want) {
			t.Errorf("size %d, want %d", s.size(), len(want))
		}
		for id := range want {
			if !s.has(id) {
				t.Fatalf("%s is missing of %d", id, size)
			}
		}
		for i := range 10_000 {
			id := randomIdentifier(r, size+i)
			if _, known := want[id]; s.has(id) != known {
				t.Fatalf("has(%s) is %v", id, !known)
			}
		}
	}
}

// randomIdentifier is mostly an IMEI, of which many are consecutive.
func randomIdentifier(r *rand.Rand, i int) string {
	switch r.IntN(10) {
	case 0:
		return fmt.Sprintf("%015d", r.Uint64N(1e15))
	case 1:
		return fmt.Sprintf("%d", r.Uint64N(1e17))
	case 2:
		return fmt.Sprintf("Tracker%d", r.IntN(1000))
	default:
		return imei(i)
	}
}

// Identifiers that are the same number, but not the same text, are different devices.
func TestSetTellsTextsApart(t *testing.T) {
	all := []string{
		"0", "000000000000000", "999999999999999", "1", "01", "000000000000001", "356307042441013", "0356307042441013",
		"35630704244101", "35630704244101A", "35630704244101a", strings.Repeat("9", 64),
	}
	for i, id := range all {
		s := setOf(id)
		for j, other := range all {
			if s.has(other) != (i == j) {
				t.Errorf("the set of %s: has(%s) is %v", id, other, s.has(other))
			}
		}
		if s.has("") {
			t.Errorf("the set of %s has the empty identifier", id)
		}
	}
}

func TestSetRefusesWhatNoDeviceCanBe(t *testing.T) {
	for _, id := range []string{"", " ", "356307042441013 ", "3563-0704", "é", "35630704244101\x00",
		strings.Repeat("9", 65), "35630704244101:"} {
		var b builder
		if err := add(&b, id); !errors.Is(err, errNotIdentifier) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestSetIsBounded(t *testing.T) {
	b := builder{numbers: make([]uint64, maxDevices)}
	if err := add(&b, imei(1)); !errors.Is(err, errTooManyDevices) {
		t.Errorf("error %v", err)
	}
}

func TestSame(t *testing.T) {
	a := setOf(imei(1), imei(2), "x")
	for _, c := range []struct {
		other *set
		same  bool
	}{
		{setOf("x", imei(2), imei(1), imei(1)), true},
		{setOf(imei(1), imei(3), "x"), false},
		{setOf(imei(1), imei(2), "y"), false},
		{setOf(imei(1), imei(2)), false},
	} {
		if a.same(c.other) != c.same {
			t.Errorf("same(%v) is %v", c.other, !c.same)
		}
	}
}

func TestLookUpAllocatesNothing(t *testing.T) {
	s := setOf(imei(1), "Tracker1")
	for _, id := range []string{imei(1), imei(2), "Tracker1", "Tracker2"} {
		if n := testing.AllocsPerRun(100, func() { s.has(id) }); n != 0 {
			t.Errorf("has(%s) allocates %v times", id, n)
		}
	}
}

const million = 1_000_000

// TestMillionDevicesAreSmall compares with the map that would be the plain way.
func TestMillionDevicesAreSmall(t *testing.T) {
	ids := fleet()
	var s *set
	ours := memory(func() { s = setOf(ids...) })
	var m map[string]struct{}
	plain := memory(func() { m = mapOf(ids) })
	t.Logf("%d devices: set %.1f MB, map[string]struct{} %.1f MB, ratio %.1f", s.size(), ours/1e6, plain/1e6, plain/ours)
	if s.size() != million || len(m) != million {
		t.Errorf("%d and %d devices", s.size(), len(m))
	}
	if ours > 9e6 {
		t.Errorf("%.0f bytes", ours)
	}
}

// memory is what remains in use of what f allocates.
func memory(f func()) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

// fleet is a million devices.
func fleet() []string {
	ids := make([]string, million)
	for i := range ids {
		ids[i] = imei(i)
	}
	return ids
}

// mapOf copies the identifiers, as a reader has to.
func mapOf(ids []string) map[string]struct{} {
	m := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		m[strings.Clone(id)] = struct{}{}
	}
	return m
}

// BenchmarkKnown looks devices up among a million, half of them on the list, in turns with the map.
func BenchmarkKnown(b *testing.B) {
	ids := fleet()
	s, m := setOf(ids...), mapOf(ids)
	asked := make([]string, 1<<16)
	for i := range asked {
		asked[i] = imei(rand.IntN(2 * million))
	}
	var ours, plain time.Duration
	hits := 0
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		for _, id := range asked {
			if s.has(id) {
				hits++
			}
		}
		middle := time.Now()
		for _, id := range asked {
			if _, ok := m[id]; ok {
				hits--
			}
		}
		ours, plain = ours+middle.Sub(start), plain+time.Since(middle)
	}
	if hits != 0 {
		b.Errorf("the two differ %d times", hits)
	}
	n := float64(b.N * len(asked))
	b.ReportMetric(float64(ours)/n, "ns/look-up")
	b.ReportMetric(float64(plain)/n, "ns/map-look-up")
	b.ReportMetric(float64(plain)/float64(ours), "map/set")
	b.ReportMetric(0, "ns/op")
}
