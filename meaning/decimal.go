package meaning

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// decimal is an exact decimal number: coefficient / 10^decimals.
type decimal struct {
	coefficient int64
	decimals    int
}

// maxDigits bounds a multiplier or offset, so that every product with a 64-bit number fits into 128 bits.
const maxDigits = 9

// parseDecimal reads what the dictionary has as multiplier or offset: at most nine digits, with a point, a minus.
func parseDecimal(s string) (decimal, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || point && fraction == "" || len(whole)+len(fraction) > maxDigits {
		return decimal{}, fmt.Errorf("%.100q is no decimal number of at most %d digits", s, maxDigits)
	}
	n, err := strconv.ParseUint(whole+fraction, 10, 32)
	if err != nil {
		return decimal{}, fmt.Errorf("%.100q is no decimal number", s)
	}
	d := decimal{int64(n), len(fraction)}
	for d.decimals > 0 && d.coefficient%10 == 0 {
		d.coefficient /= 10
		d.decimals--
	}
	if negative {
		d.coefficient = -d.coefficient
	}
	return d, nil
}

var pow10 = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// scale makes numbers of raw ones: raw × multiplier + offset, over 10^decimals.
type scale struct {
	multiplier uint64
	offset     int64
	decimals   int
}

// newScale is the scale of a positive multiplier and an offset.
func newScale(multiplier, offset decimal) scale {
	decimals := max(multiplier.decimals, offset.decimals)
	return scale{
		multiplier: uint64(multiplier.coefficient) * pow10[decimals-multiplier.decimals],
		offset:     offset.coefficient * int64(pow10[decimals-offset.decimals]),
		decimals:   decimals,
	}
}

// exact is the largest whole number up to which a 64-bit float holds every one.
const exact = 1 << 53

// append appends the number as JSON: without noise, without zeros at its end, and as a string where most readers of
// JSON could not hold all of its digits. With signed, n is in two's complement.
func (s *scale) append(dst []byte, n uint64, signed bool) []byte {
	negative := signed && int64(n) < 0
	if negative {
		n = -n
	}
	high, low := bits.Mul64(n, s.multiplier)
	if s.offset != 0 {
		negative, high, low = addSigned(negative, high, low, s.offset)
	}
	large := high != 0 || low > exact
	if large {
		dst = append(dst, '"')
	}
	if negative {
		dst = append(dst, '-')
	}
	if high == 0 {
		dst = s.appendSmall(dst, low)
	} else {
		dst = s.appendLarge(dst, high, low)
	}
	if large {
		dst = append(dst, '"')
	}
	return dst
}

// addSigned adds an offset to a number of 128 bits and a sign. The sum fits.
func addSigned(negative bool, high, low uint64, offset int64) (bool, uint64, uint64) {
	amount := uint64(offset)
	if offset < 0 {
		amount = -amount
	}
	if negative == (offset < 0) {
		low, carry := bits.Add64(low, amount, 0)
		return negative, high + carry, low
	}
	if high == 0 && low <= amount {
		return offset < 0 && low != amount, 0, amount - low
	}
	low, borrow := bits.Sub64(low, amount, 0)
	return negative, high - borrow, low
}

func (s *scale) appendSmall(dst []byte, n uint64) []byte {
	if s.decimals == 0 {
		return strconv.AppendUint(dst, n, 10)
	}
	unit := pow10[s.decimals]
	dst = strconv.AppendUint(dst, n/unit, 10)
	return appendFraction(dst, n%unit, s.decimals)
}

// appendFraction appends a point and the fraction's digits but for the zeros at its end.
func appendFraction(dst []byte, fraction uint64, decimals int) []byte {
	if fraction == 0 {
		return dst
	}
	dst = append(dst, '.')
	for fraction != 0 {
		decimals--
		dst = append(dst, '0'+byte(fraction/pow10[decimals]))
		fraction %= pow10[decimals]
	}
	return dst
}

// appendLarge appends a number of more than 64 bits, below 10^38.
func (s *scale) appendLarge(dst []byte, high, low uint64) []byte {
	quotient, rest := bits.Div64(high, low, 1e19)
	dst = strconv.AppendUint(dst, quotient, 10)
	for unit := uint64(1e18); unit > 0; unit /= 10 {
		dst = append(dst, '0'+byte(rest/unit%10))
	}
	point := len(dst) - s.decimals // has digits before it: the number has 20 at least, of which 9 are decimals
	for len(dst) > point && dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	if len(dst) == point {
		return dst
	}
	dst = append(dst, 0)
	copy(dst[point+1:], dst[point:])
	dst[point] = '.'
	return dst
}
