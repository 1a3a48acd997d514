package record

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestUint(t *testing.T) {
	numbers := []uint64{0, math.MaxUint64, math.MaxUint64 - 1}
	for power := uint64(1); ; power *= 10 {
		numbers = append(numbers, power-1, power, power+1, 2*power-1)
		if power == 1e19 {
			break
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		numbers = append(numbers, random.Uint64()>>random.IntN(64))
	}
	for _, n := range numbers {
		if got, want := string(appendUint([]byte("x"), n)), "x"+strconv.FormatUint(n, 10); got != want {
			t.Fatalf("%s, expected %s", got, want)
		}
	}
}

// TestDigits covers all inputs of each division in the lanes of digits8.
func TestDigits(t *testing.T) {
	for n := range uint32(10_000) {
		for _, whole := range []uint32{n, n * 10_000, n*10_000 + 9_999, 99_990_000 + n} {
			got := string(appendLong([]byte("1"), 100_000_000+uint64(whole)))
			if want := fmt.Sprintf("11%08d", whole); got != want {
				t.Fatalf("%s, expected %s", got, want)
			}
		}
	}
}

func TestInt(t *testing.T) {
	for n := int64(math.MinInt16); n <= math.MaxInt16; n++ {
		if got, want := string(appendInt(nil, n)), strconv.FormatInt(n, 10); got != want {
			t.Fatalf("%s, expected %s", got, want)
		}
	}
}

func TestDegrees(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	check := func(n int32) {
		t.Helper()
		if got, want := string(appendDegrees(nil, n)), string(referenceDegrees(n)); got != want {
			t.Fatalf("%d is %s, expected %s", n, got, want)
		}
	}
	for n := int32(1); ; n *= 10 { // each number of trailing zeros
		for digit := range int32(10) {
			check(n * digit)
			check(-n * digit)
		}
		if n == 1e8 {
			break
		}
	}
	for range 100_000 {
		check(int32(random.Uint32()) >> random.IntN(32))
	}
}

func TestHex16(t *testing.T) {
	numbers := []uint64{0, 1, 0x0123456789abcdef, 0xfedcba9876543210, math.MaxUint64}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		numbers = append(numbers, random.Uint64())
	}
	for _, n := range numbers {
		if got, want := string(appendHex16(nil, n)), fmt.Sprintf("%016x", n); got != want {
			t.Fatalf("%s, expected %s", got, want)
		}
	}
}
