package publish

import (
	"math/rand/v2"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// BenchmarkRecent asks for and adds the keys of frames of ten records, in a set as large as an hour of a busy
// instance makes it. "touched" is how the lanes do it; "one by one" waits for memory at every key.
func BenchmarkRecent(b *testing.B) {
	now := time.Unix(1, 0)
	for _, touch := range []bool{true, false} {
		name := map[bool]string{true: "touched", false: "one by one"}[touch]
		b.Run(name, func(b *testing.B) {
			r := keyWindow{limit: dedupLimit / 2}
			n := 0
			s, hashes := newSecret(), rand.NewPCG(1, 2)
			device := s.device("356307042441013")
			record := engine.Record{}
			next := func() key {
				n++
				record.Hash, record.Timestamp = hashes.Uint64(), int64(n)
				return s.record(device, &record)
			}
			for range dedupLimit / 4 {
				r.add(next())
			}
			r.young, r.old = keySet{}, r.young
			var frame [10]key
			sum := uint64(0)
			for b.Loop() {
				for i := range frame {
					frame[i] = next()
				}
				r.rotate(now)
				if touch {
					sum += r.touch(frame[:])
				}
				for _, k := range frame {
					r.add(k)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frame)), "ns/record")
			b.ReportMetric(float64(len(r.young.slots)+len(r.old.slots))*16/float64(r.young.count+r.old.count), "B/record")
			if sum == 1 {
				b.Log(sum)
			}
		})
	}
}
