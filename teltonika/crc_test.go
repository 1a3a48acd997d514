package teltonika

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// crcBitwise is the definition of CRC-16/ARC: one bit at a time.
func crcBitwise(data []byte) uint16 {
	var crc uint16
	for _, b := range data {
		crc ^= uint16(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

func randomBytes(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestCRCCheckValue(t *testing.T) {
	if got := CRC([]byte("123456789")); got != 0xBB3D {
		t.Fatalf("CRC of 123456789 = %04x, want bb3d", got)
	}
}

func TestCRCEqualsDefinition(t *testing.T) {
	data := randomBytes(1, 3016)
	for n := range 3001 {
		// Different starts, so that no alignment is taken for granted.
		b := data[n%16:][:n]
		if got, want := CRC(b), crcBitwise(b); got != want {
			t.Fatalf("CRC of %d bytes = %04x, want %04x", n, got, want)
		}
	}
}

func TestCRCOfSparseData(t *testing.T) {
	// One bit at a time: each position of a word and of the fold's window has its own way through the division.
	data := make([]byte, 600)
	for bit := range len(data) * 8 {
		data[bit/8] = 1 << (bit % 8)
		if got, want := CRC(data), crcBitwise(data); got != want {
			t.Fatalf("CRC with only bit %d set = %04x, want %04x", bit, got, want)
		}
		data[bit/8] = 0
	}
}

// crcByte is the textbook's way, one table look-up for each byte.
func crcByte(data []byte) (crc uint16) {
	t := &crcTables[0]
	for _, b := range data {
		crc = crc>>8 ^ t[byte(crc)^b]
	}
	return crc
}

func TestCRCBenchmarksAgree(t *testing.T) {
	data := randomBytes(2, 1200)
	if want := CRC(data); crcTable(0, data) != want || crcByte(data) != want {
		t.Error("the ways to compute the CRC differ")
	}
}

var crcSizes = []int{45, 80, 256, 512, 1200, 8192}

func BenchmarkCRC(b *testing.B) {
	for _, size := range crcSizes {
		data := randomBytes(2, size)
		for _, way := range []struct {
			name string
			crc  func([]byte) uint16
		}{
			{"CRC", CRC},
			{"slicing16", func(d []byte) uint16 { return crcTable(0, d) }},
			{"byte", crcByte},
		} {
			b.Run(fmt.Sprintf("%s/%d", way.name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					sink += way.crc(data)
				}
			})
		}
	}
}

// BenchmarkCRCRatio runs the three ways in turns, so that a noisy machine is noisy for all.
func BenchmarkCRCRatio(b *testing.B) {
	for _, size := range crcSizes {
		data := randomBytes(2, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			rounds := max(1, 100_000/size)
			var crc, slicing, byByte time.Duration
			for b.Loop() {
				start := time.Now()
				for range rounds {
					sink += CRC(data)
				}
				t1 := time.Now()
				for range rounds {
					sink += crcTable(0, data)
				}
				t2 := time.Now()
				for range rounds {
					sink += crcByte(data)
				}
				crc, slicing, byByte = crc+t1.Sub(start), slicing+t2.Sub(t1), byByte+time.Since(t2)
			}
			b.ReportMetric(float64(crc.Nanoseconds())/float64(b.N*rounds), "CRC-ns")
			b.ReportMetric(float64(slicing)/float64(crc), "slicing16/CRC")
			b.ReportMetric(float64(byByte)/float64(crc), "byte/CRC")
			b.ReportMetric(0, "ns/op")
		})
	}
}

var sink uint16
