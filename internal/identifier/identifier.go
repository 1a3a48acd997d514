// Package identifier has what devices log in with as numbers, 8 bytes each, for lists of a million devices.
package identifier

// imeiDigits is the length of an IMEI (3GPP TS 23.003).
const imeiDigits = 15

// IMEI returns an identifier of exactly 15 digits as a number. Devices may have others, which are no IMEIs.
func IMEI[T string | []byte](id T) (n uint64, ok bool) {
	if len(id) != imeiDigits {
		return 0, false
	}
	for i := range imeiDigits {
		digit := id[i] - '0'
		if digit > 9 {
			return 0, false
		}
		n = 10*n + uint64(digit)
	}
	return n, true
}
