package teltonika

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// The benchmarks compare two ways through a frame. "limit" computes the CRC and walks over the records by
// their group counts, adding up the bytes one by one: about what it costs to look at a frame at all. "decode"
// is what a user of the package does: verify, decode, and look at every field and element.

// benchSet is frames and the number of records in them.
type benchSet struct {
	frames  []Frame
	records int
}

// bigFrame is a Codec 8 frame of 1.2 KB: nine times a real record of 28 elements.
func bigFrame(b *testing.B) benchSet {
	var data AVLData
	if err := data.Decode(vectorNamed(b, "dameg-tcp-avl-c8-011").body(b)); err != nil {
		b.Fatal(err)
	}
	data.Records = slices.Repeat(data.Records, 9)
	frame, err := data.AppendFrame(nil)
	if err != nil {
		b.Fatal(err)
	}
	if elements := len(data.Records[0].Elements); elements != 28 {
		b.Fatalf("%d elements in a record, expected 28", elements)
	}
	return benchSet{[]Frame{frame}, len(data.Records)}
}

func trafficSet(b *testing.B) benchSet { return benchSet{traffic(b), trafficRecords} }

// extendedFrame is a Codec 8 Extended frame of 1,260 bytes: 15 real records of 9 elements.
func extendedFrame(b *testing.B) benchSet {
	v := vectorNamed(b, "anilaras-tcp-avl-c8e-008")
	return benchSet{[]Frame{v.bytes(b)}, v.Records}
}

var benchSets = []struct {
	name string
	load func(*testing.B) benchSet
}{
	{"codec8x28", bigFrame},
	{"traffic", trafficSet},
	{"codec8E", extendedFrame},
}

func BenchmarkDecode(b *testing.B) {
	for _, set := range benchSets {
		s := set.load(b)
		b.Run(set.name+"/limit", func(b *testing.B) {
			for b.Loop() {
				s.limit(b)
			}
			s.report(b)
		})
		b.Run(set.name+"/decode", func(b *testing.B) {
			var data AVLData
			b.ReportAllocs()
			for b.Loop() {
				s.decode(b, &data)
			}
			s.report(b)
		})
	}
}

// BenchmarkDecodeRatio runs both ways in turns, so that a noisy machine is noisy for both.
func BenchmarkDecodeRatio(b *testing.B) {
	for _, set := range benchSets {
		s := set.load(b)
		rounds := max(1, 1000/s.records)
		b.Run(set.name, func(b *testing.B) {
			var data AVLData
			var limit, decode time.Duration
			for b.Loop() {
				start := time.Now()
				for range rounds {
					s.limit(b)
				}
				middle := time.Now()
				for range rounds {
					s.decode(b, &data)
				}
				limit += middle.Sub(start)
				decode += time.Since(middle)
			}
			records := float64(b.N * rounds * s.records)
			b.ReportMetric(float64(limit.Nanoseconds())/records, "limit-ns/record")
			b.ReportMetric(float64(decode.Nanoseconds())/records, "decode-ns/record")
			b.ReportMetric(float64(decode)/float64(limit), "decode/limit")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (s benchSet) report(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*s.records), "ns/record")
}

var benchSum uint64

func (s benchSet) limit(b *testing.B) {
	for _, f := range s.frames {
		if err := f.Verify(); err != nil {
			b.Fatal(err)
		}
		body := f.Body()
		if f.Codec() == Codec8 {
			benchSum += sumNarrow(body)
		} else {
			benchSum += sumWide(body)
		}
	}
}

func sumBytes(b []byte) (sum uint64) {
	for _, c := range b {
		sum += uint64(c)
	}
	return sum
}

// sumNarrow walks over a Codec 8 body.
func sumNarrow(body []byte) (sum uint64) {
	p := 2
	for range body[1] {
		start := p
		p += 26
		p += 1 + 2*int(body[p])
		p += 1 + 3*int(body[p])
		p += 1 + 5*int(body[p])
		p += 1 + 9*int(body[p])
		sum += sumBytes(body[start:p])
	}
	return sum
}

// sumWide walks over a Codec 8 Extended body.
func sumWide(body []byte) (sum uint64) {
	p := 2
	for range body[1] {
		start := p
		p += 28
		p += 2 + 3*int(binary.BigEndian.Uint16(body[p:]))
		p += 2 + 4*int(binary.BigEndian.Uint16(body[p:]))
		p += 2 + 6*int(binary.BigEndian.Uint16(body[p:]))
		p += 2 + 10*int(binary.BigEndian.Uint16(body[p:]))
		n := binary.BigEndian.Uint16(body[p:])
		p += 2
		for range n {
			p += 4 + int(binary.BigEndian.Uint16(body[p+2:]))
		}
		sum += sumBytes(body[start:p])
	}
	return sum
}

func (s benchSet) decode(b *testing.B, data *AVLData) {
	for _, f := range s.frames {
		if err := f.Verify(); err != nil {
			b.Fatal(err)
		}
		if err := data.Decode(f.Body()); err != nil {
			b.Fatal(err)
		}
		var sum uint64
		for i := range data.Records {
			r := &data.Records[i]
			sum += r.Timestamp + uint64(r.Priority) + uint64(r.Longitude) + uint64(r.Latitude) + uint64(r.Altitude) +
				uint64(r.Angle) + uint64(r.Satellites) + uint64(r.Speed) + uint64(r.EventID) + uint64(r.Generation)
			for j := range r.Elements {
				e := &r.Elements[j]
				sum += uint64(e.ID)
				if e.Numeric() {
					sum += e.Uint()
				} else {
					sum += uint64(len(r.Bytes(*e)))
				}
			}
		}
		benchSum += sum
	}
}
