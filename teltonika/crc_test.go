package teltonika

import (
	"fmt"
	"math/rand/v2"
	"testing"
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

func BenchmarkCRC(b *testing.B) {
	for _, size := range []int{80, 256, 512, 1200, 8192} {
		data := randomBytes(2, size)
		b.Run(fmt.Sprintf("fold/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				sink += CRC(data)
			}
		})
		b.Run(fmt.Sprintf("table/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				sink += crcTable(0, data)
			}
		})
	}
}

var sink uint16
