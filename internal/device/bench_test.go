package device

import (
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// BenchmarkHold is what a login costs: of a device that is remembered, and of one that is not, in a full table.
func BenchmarkHold(b *testing.B) {
	ids := make([]string, 4*maxDevices)
	for i := range ids {
		ids[i] = imei(i)
	}
	for name, devices := range map[string]int{"remembered": 1000, "new": len(ids)} {
		b.Run(name, func(b *testing.B) {
			s, _ := newSubject(b, maxDevices, nil)
			for _, id := range ids {
				s.Hold(id).Release()
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Hold(ids[i%devices]).Release()
			}
		})
	}
}

// BenchmarkSetDictionary is how long a change takes until it counts for a full table of devices.
func BenchmarkSetDictionary(b *testing.B) {
	s, _ := newSubject(b, maxDevices, nil)
	for i := range maxDevices {
		d := s.Hold(imei(i))
		send(d, fmx6Elements[i%len(fmx6Elements)])
		d.Release()
	}
	for b.Loop() {
		next, err := meaning.Embedded().Override(tank("a"))
		if err != nil {
			b.Fatal(err)
		}
		s.SetDictionary(next)
	}
}

// BenchmarkLook is one look at a full table for what is to be saved, in which nothing is new.
func BenchmarkLook(b *testing.B) {
	s, _ := newSubject(b, maxDevices, nil)
	for i := range maxDevices {
		s.Hold(imei(i)).Release()
	}
	for b.Loop() {
		if _, err := s.keeper.save(b.Context(), s.devices.all(), saveMost); err != nil {
			b.Fatal(err)
		}
	}
}
