package teltonika

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

var allErrors = []error{
	ErrIncomplete, ErrLogin, ErrPreamble, ErrLength, ErrCRC, ErrUnknownCodec, ErrOverrun, ErrTrailing, ErrCount, ErrEncode,
}

// checkDecodeError requires of an error what the package promises of each: one of the Err values, the name of a
// field, and an offset in the input or at its end.
func checkDecodeError(t *testing.T, what string, err error, input []byte) {
	t.Helper()
	var e *Error
	switch {
	case err == nil:
		t.Errorf("%s: no error for %d bytes %.60x", what, len(input), input)
	case !errors.As(err, &e):
		t.Errorf("%s: %T: %v", what, err, err)
	case !slices.Contains(allErrors, e.Err) || !errors.Is(err, e.Err) || e.Err == ErrEncode || e.Op != OpDecode:
		t.Errorf("%s: wraps %v", what, e.Err)
	case e.Field == "" || e.Detail == "" || !strings.Contains(err.Error(), e.Field):
		t.Errorf("%s: field %q, detail %q, text %q", what, e.Field, e.Detail, err)
	case e.Offset < 0 || e.Offset > len(input):
		t.Errorf("%s: %v: offset outside the %d bytes", what, err, len(input))
	}
}

// decodeBody decodes a data field of any codec.
func decodeBody(body []byte, data *AVLData) error {
	if len(body) > 0 && Codec(body[0]).IsMessage() {
		return new(Messages).Decode(body)
	}
	return data.Decode(body)
}

// Every proper prefix of a packet is refused as incomplete, and every proper prefix of a data field as wrong.
func TestPrefixesAreRefused(t *testing.T) {
	var data AVLData
	for _, v := range vectors(t) {
		if v.Transport == "raw" {
			continue
		}
		packet := v.bytes(t)
		parse, inner := prefixParser(v)
		for n := range inner {
			err := parse(packet[:n:n])
			checkDecodeError(t, v.Name, err, packet[:n])
			if !errors.Is(err, ErrIncomplete) {
				t.Errorf("%s: %d of %d bytes: %v, want ErrIncomplete", v.Name, n, len(packet), err)
			}
		}
		if v.Kind == "login" || v.Kind == "ack" {
			continue
		}
		body := v.body(t)
		for n := range body {
			// Exact capacity, so that a read beyond the end panics.
			prefix := slices.Clip(slices.Clone(body[:n]))
			checkDecodeError(t, v.Name, decodeBody(prefix, &data), prefix)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// prefixParser returns how a vector is parsed, and up to which length a prefix of it is incomplete: a datagram's
// data field has no length of its own.
func prefixParser(v vector) (parse func([]byte) error, inner int) {
	size := len(v.Hex) / 2
	switch {
	case v.Kind == "login":
		return func(b []byte) error { _, err := ParseLogin(b); return err }, size
	case v.Kind == "ack":
		return func(b []byte) error { _, err := ParseAnswer(b); return err }, size
	case v.Transport == "udp":
		return func(b []byte) error { _, err := ParseDatagram(b); return err }, udpHeaderSize + len(v.IMEI) + MinLength
	}
	return func(b []byte) error { _, _, err := ParseFrame(b, testMaxLength); return err }, size
}

// changes are what a byte is xored with: every value in a small packet, each bit and all bits in a big one.
func changes(packet []byte) (all []byte) {
	if len(packet) > 120 {
		return []byte{1, 2, 4, 8, 16, 32, 64, 128, 255}
	}
	for change := 1; change < 256; change++ {
		all = append(all, byte(change))
	}
	return all
}

// No single byte, whatever it becomes, makes the decoder panic or the CRC agree.
func TestSingleByteCorruption(t *testing.T) {
	var data AVLData
	for _, name := range []string{
		"wiki-tcp-avl-c16-001", "dameg-tcp-avl-c8-015", "misc-tcp-avl-c8-001", "karticr-tcp-avl-c8e-006",
		"svenpete-tcp-avl-c8e-003",
		"synth-tcp-command-c12-001", "wiki-tcp-response-c13-001", "synth-tcp-response-c14-003", "wiki-tcp-response-c15-001",
	} {
		good := vectorNamed(t, name).bytes(t)
		for i := range good {
			packet := slices.Clone(good)
			for _, change := range changes(good) {
				packet[i] = good[i] ^ change
				frame, _, err := ParseFrame(packet, testMaxLength)
				if err != nil {
					checkDecodeError(t, name, err, packet)
					continue
				}
				checkDecodeError(t, name, frame.Verify(), packet)
				body := slices.Clip(slices.Clone(frame.Body()))
				if err := decodeBody(body, &data); err != nil {
					checkDecodeError(t, name, err, body)
				}
			}
		}
	}
}

func TestSingleByteCorruptionUDPAndLogin(t *testing.T) {
	var data AVLData
	for _, name := range []string{"mcraiha-udp-avl-c8-004", "synth-udp-avl-c16-001", "wiki-tcp-login-001",
		"wiki-udp-ack-001"} {
		good := vectorNamed(t, name).bytes(t)
		for i := range good {
			packet := slices.Clone(good)
			for _, change := range changes(good) {
				packet[i] = good[i] ^ change
				if d, err := ParseDatagram(packet); err != nil {
					checkDecodeError(t, name, err, packet)
				} else if err := decodeBody(d.Body, &data); err != nil {
					checkDecodeError(t, name, Shift(err, d.BodyOffset()), packet)
				}
				if _, err := ParseLogin(packet); err != nil {
					checkDecodeError(t, name, err, packet)
				}
				if _, err := ParseAnswer(packet); err != nil {
					checkDecodeError(t, name, err, packet)
				}
			}
		}
	}
}
