package teltonika

import "encoding/binary"

// MaxLoginLength is the longest identifier that is accepted, in characters. The vendor's devices send
// 15 digits; 14 and 16 digits and names occur with simulators and other makes.
const MaxLoginLength = 64

// KeepAlive is the byte that a device sends on an idle connection ("network ping"). It may stand
// before the login and between frames, any number of times, and is not answered. No login and no frame
// begins with it.
const KeepAlive = 0xFF

// TrimKeepAlives returns b without the keep-alives that it begins with.
func TrimKeepAlives(b []byte) []byte {
	for len(b) > 0 && b[0] == KeepAlive {
		b = b[1:]
	}
	return b
}

// Login answers.
const (
	LoginAccept = 0x01
	LoginRefuse = 0x00
)

// ParseLoginLength reads the first two bytes of a connection, the identifier's length in bytes
// (1 to MaxLoginLength). Zero means that the peer has sent a frame without a login, anything else
// out of range that it is not a tracker.
func ParseLoginLength(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, fail(ErrIncomplete, "login length", 0, "%d of 2 bytes", len(b))
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < 1 || n > MaxLoginLength {
		return 0, fail(ErrLogin, "login length", 0, "%d, expected 1 to %d", n, MaxLoginLength)
	}
	return n, nil
}

// ParseLogin reads a whole login, the length and the identifier, and returns the identifier: ASCII
// letters and digits. The check digit of an IMEI is not verified, because test devices break it. Of a login that is cut
// off the error matches ErrIncomplete if more bytes may complete it, and ErrLogin if what is there is no login already.
//
//	 0      2                             2+n
//	+------+-----------------------------+
//	| 000F | identifier, ASCII, n bytes  |
//	+------+-----------------------------+
func ParseLogin(b []byte) (string, error) {
	n, err := ParseLoginLength(b)
	if err != nil {
		return "", err
	}
	if i := invalidByte(b[2:min(2+n, len(b))]); i >= 0 {
		return "", fail(ErrLogin, "login identifier", 2+i, "byte 0x%02x is neither an ASCII letter nor a digit", b[2+i])
	}
	if len(b) < 2+n {
		return "", fail(ErrIncomplete, "login identifier", 2, "%d of %d bytes", len(b)-2, n)
	}
	if len(b) > 2+n {
		return "", fail(ErrLogin, "login identifier", 2+n, "%d bytes after it", len(b)-2-n)
	}
	return string(b[2:]), nil
}

// AppendLogin appends the login for an identifier of 1 to MaxLoginLength ASCII letters and digits.
func AppendLogin(dst []byte, identifier string) ([]byte, error) {
	if len(identifier) < 1 || len(identifier) > MaxLoginLength {
		return dst, unencodable("login identifier", "%d characters, expected 1 to %d", len(identifier), MaxLoginLength)
	}
	if i := invalidByte(identifier); i >= 0 {
		return dst, unencodable("login identifier", "byte 0x%02x is neither an ASCII letter nor a digit", identifier[i])
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(identifier)))
	return append(dst, identifier...), nil
}

// AppendLoginAnswer appends the one byte that answers a login.
func AppendLoginAnswer(dst []byte, accept bool) []byte {
	if accept {
		return append(dst, LoginAccept)
	}
	return append(dst, LoginRefuse)
}

// ValidIdentifier reports whether a device can log in with the identifier: 1 to MaxLoginLength ASCII letters and
// digits.
func ValidIdentifier[T string | []byte](identifier T) bool {
	return len(identifier) >= 1 && len(identifier) <= MaxLoginLength && invalidByte(identifier) < 0
}

// invalidByte is the position of the first byte that is neither an ASCII letter nor a digit, -1 if there is none.
func invalidByte[T string | []byte](identifier T) int {
	for i := range len(identifier) {
		c := identifier[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return i
		}
	}
	return -1
}
