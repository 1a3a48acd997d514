package stranger

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// imeiLength is that of an IMEI, in digits.
const imeiLength = 15

// As what an IMEI may stand in the first bytes.
const (
	AsLogin    = "login"
	AsText     = "text"
	AsHexText  = "hex_text"
	AsBCD      = "bcd"
	AsNumber   = "number"
	AsHTTPPath = "http_path"
	AsClientID = "mqtt_client_id"
)

// FindIMEI looks for an IMEI in the first bytes of something. What is not written in digits may be one by accident, so
// it has to have a right check digit.
func FindIMEI(first []byte) (imei, as string) {
	if imei, as = textIMEI(first); imei != "" {
		return imei, as
	}
	if imei = hexIMEI(first); imei != "" {
		return imei, AsHexText
	}
	for i := 0; i+8 <= len(first); i++ {
		if imei = bcdIMEI(first[i : i+8]); imei != "" {
			return imei, AsBCD
		}
		if imei = numberIMEI(first[i : i+8]); imei != "" {
			return imei, AsNumber
		}
	}
	return "", ""
}

// textIMEI is the first run of exactly 15 digits.
func textIMEI(b []byte) (imei, as string) {
	for start := 0; start < len(b); {
		end := start
		for end < len(b) && isDigit(b[end]) {
			end++
		}
		if end-start == imeiLength && (start == 0 || b[start-1] < 0x80) {
			return string(b[start:end]), textAs(b, start)
		}
		start = max(end, start+1)
	}
	return "", ""
}

// textAs is as what the digits stand there.
func textAs(b []byte, start int) string {
	switch {
	case start >= 2 && b[start-2] == 0 && b[start-1] == imeiLength && !isMQTT(b):
		return AsLogin
	case len(b) >= 2 && isMQTT(b):
		return AsClientID
	case isHTTP(b):
		return AsHTTPPath
	}
	return AsText
}

// hexIMEI is that of bytes which are written out as hex digits.
func hexIMEI(b []byte) string {
	n := 0
	for n < len(b) && isHexDigit(b[n]) {
		n++
	}
	raw := make([]byte, n/2)
	if _, err := hex.Decode(raw, b[:n&^1]); err != nil {
		return ""
	}
	imei, _ := textIMEI(raw)
	return imei
}

// bcdIMEI is that of 15 decimal digits in eight bytes, behind a zero.
func bcdIMEI(b []byte) string {
	if b[0] > 9 {
		return ""
	}
	return checked(hex.EncodeToString(b)[1:])
}

// numberIMEI is that of a number of 64 bits.
func numberIMEI(b []byte) string {
	n := binary.BigEndian.Uint64(b)
	if n < 1e13 || n >= 1e15 { // one that begins with 0 is 14 digits long
		return ""
	}
	text := strconv.FormatUint(n, 10)
	return checked("0"[:imeiLength-len(text)] + text)
}

// checked is s if it is an IMEI with a right check digit, the last one (Luhn), and of a body that numbers devices.
func checked(s string) string {
	sum := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return ""
		}
		d := int(s[i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	if body := s[:2]; sum%10 != 0 || body != "35" && body != "86" && body != "01" && body != "99" {
		return ""
	}
	return s
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHexDigit(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
