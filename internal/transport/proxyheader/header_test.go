package proxyheader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// v2 is a header of version 2: command and family, then what the length counts.
func v2(command, family byte, rest ...byte) []byte {
	header := append([]byte(signatureV2), command, family)
	header = binary.BigEndian.AppendUint16(header, uint16(len(rest)))
	return append(header, rest...)
}

var (
	client4 = []byte{198, 51, 100, 7, 192, 0, 2, 1, 0x9c, 0x40, 0x13, 0xa3} // 198.51.100.7:40000 to 192.0.2.1:5027
	client6 = append(append(append([]byte{}, net.ParseIP("2001:db8::7")...), net.ParseIP("2001:db8::1")...), 0x9c, 0x40,
		0x13, 0xa3)
	mapped6 = append(append(append([]byte{}, net.ParseIP("198.51.100.7").To16()...), net.ParseIP("192.0.2.1").To16()...),
		0x9c, 0x40, 0x13, 0xa3)
)

// with puts pieces together.
func with(pieces ...[]byte) []byte { return bytes.Join(pieces, nil) }

// checksummed is a header of version 2 with a checksum between two other TLVs, the first one padding.
func checksummed(spoil byte) []byte {
	header := v2(0x21, 0x11, with(client4, []byte{4, 0, 2, 0, 0}, []byte{3, 0, 4, 0, 0, 0, 0}, []byte{2, 0, 1, 'x'})...)
	at := len(header) - 4 - 4
	binary.BigEndian.PutUint32(header[at:], crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
	header[at] ^= spoil
	return header
}

// good are right headers with the client that they name; none if the balancer speaks for itself.
var good = []struct {
	name   string
	header []byte
	client string
}{
	{"v1 IPv4", []byte("PROXY TCP4 198.51.100.7 192.0.2.1 40000 5027\r\n"), "198.51.100.7:40000"},
	{"v1 shortest", []byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "1.1.1.1:1"},
	{"v1 IPv6", []byte("PROXY TCP6 2001:db8::7 2001:db8::1 40000 5027\r\n"), "[2001:db8::7]:40000"},
	{"v1 IPv6 longest",
		[]byte("PROXY TCP6 2001:1db8:1111:2222:3333:4444:5555:7777 2001:1db8:1111:2222:3333:4444:5555:6666 40000 65535\r\n"),
		"[2001:1db8:1111:2222:3333:4444:5555:7777]:40000"},
	{"v1 IPv4 mapped", []byte("PROXY TCP6 ::ffff:198.51.100.7 ::ffff:192.0.2.1 40000 5027\r\n"), "198.51.100.7:40000"},
	{"v1 IPv4 as IPv6, as nginx does", []byte("PROXY TCP6 198.51.100.7 192.0.2.1 40000 5027\r\n"), "198.51.100.7:40000"},
	{"v1 unknown", []byte("PROXY UNKNOWN\r\n"), ""},
	{"v1 unknown, longest",
		[]byte("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 " +
			"65535\r\n"), ""},
	{"v2 IPv4", v2(0x21, 0x11, client4...), "198.51.100.7:40000"},
	{"v2 IPv6", v2(0x21, 0x21, client6...), "[2001:db8::7]:40000"},
	{"v2 IPv4 mapped", v2(0x21, 0x21, mapped6...), "198.51.100.7:40000"},
	{"v2 TLVs", v2(0x21, 0x11, with(client4, []byte{0xea, 0, 3, 1, 'v', 'p', 4, 0, 0})...), "198.51.100.7:40000"},
	{"v2 checksum", checksummed(0), "198.51.100.7:40000"},
	{"v2 longest", v2(0x21, 0x11, with(client4, []byte{4, 0x0f, 0xf1}, make([]byte, 4081))...), "198.51.100.7:40000"},
	{"v2 local", v2(0x20, 0x00), ""},
	{"v2 local with addresses, as a cloud's", v2(0x20, 0x11, client4...), ""},
	{"v2 local with a length that fits nothing", v2(0x20, 0x11, 1, 2, 3), ""},
}

// bad are headers that are refused once whole.
var bad = []struct {
	name   string
	header []byte
	reason Reason
	offset int // where that is clear; -1 = at the end
}{
	{"a login", []byte("\x00\x0f356307042441013"), Missing, 12},
	{"a TLS hello", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), Missing, 11},
	{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), Missing, 12},
	{"one wrong byte", []byte("PROXX TCP4 198.51.100.7 192.0.2.1 40000 5027\r\n"), Missing, 12},
	{"no space", []byte("PROXYTCP4 198.51.100.7 192.0.2.1 40000 5027\r\n"), Missing, 12},
	{"v2 signature cut", []byte("\r\n\r\n\x00\r\nQUIX\n"), Missing, 12},
	{"v1 no family", []byte("PROXY \r\n 1234\r\n"), Malformed, 15},
	{"v1 wrong family", []byte("PROXY TCP5 198.51.100.7 192.0.2.1 40000 5027\r\n"), Malformed, -1},
	{"v1 UDP", []byte("PROXY UDP4 198.51.100.7 192.0.2.1 40000 5027\r\n"), Malformed, -1},
	{"v1 LF alone", []byte("PROXY TCP4 198.51.100.7 192.0.2.1 40000 5027\n"), Malformed, -1},
	{"v1 too few", []byte("PROXY TCP4 198.51.100.7 192.0.2.1 40000\r\n"), Malformed, -1},
	{"v1 too many", []byte("PROXY TCP4 198.51.100.7 192.0.2.1 40000 5027 1\r\n"), Malformed, -1},
	{"v1 two spaces", []byte("PROXY TCP4  198.51.100.7 192.0.2.1 40000 5027\r\n"), Malformed, -1},
	{"v1 port out of range", []byte("PROXY TCP4 198.51.100.7 192.0.2.1 65536 5027\r\n"), Malformed, -1},
	{"v1 leading zero", []byte("PROXY TCP4 198.51.100.7 192.0.2.1 040000 5027\r\n"), Malformed, -1},
	{"v1 no address", []byte("PROXY TCP4 localhost 192.0.2.1 40000 5027\r\n"), Malformed, -1},
	{"v1 IPv6 as IPv4", []byte("PROXY TCP4 2001:db8::7 2001:db8::1 40000 5027\r\n"), Malformed, -1},
	{"v1 zone", []byte("PROXY TCP6 fe80::1%eth0 2001:db8::1 40000 5027\r\n"), Malformed, -1},
	{"v1 without end", []byte("PROXY TCP4 " + strings.Repeat("1", 200)), TooLong, 107},
	{"v2 other version", v2(0x11, 0x11, client4...), Malformed, -1},
	{"v2 other command", v2(0x22, 0x11, client4...), Malformed, -1},
	{"v2 other family", v2(0x21, 0x41, client4...), Unsupported, -1},
	{"v2 other protocol", v2(0x21, 0x13, client4...), Unsupported, -1},
	{"v2 no family", v2(0x21, 0x00), Unsupported, -1},
	{"v2 UDP", v2(0x21, 0x12, client4...), Unsupported, -1},
	{"v2 unix", v2(0x21, 0x31, make([]byte, 216)...), Unsupported, -1},
	{"v2 addresses cut", v2(0x21, 0x11, client4[:11]...), Malformed, -1},
	{"v2 IPv6 cut", v2(0x21, 0x21, client4...), Malformed, -1},
	{"v2 TLV head cut", v2(0x21, 0x11, with(client4, []byte{1, 0})...), Malformed, -1},
	{"v2 TLV cut", v2(0x21, 0x11, with(client4, []byte{1, 0, 2, 0})...), Malformed, -1},
	{"v2 checksum wrong", checksummed(1), Checksum, -1},
	{"v2 checksum short", v2(0x21, 0x11, with(client4, []byte{3, 0, 3, 0, 0, 0})...), Malformed, -1},
	{"v2 too long", v2(0x21, 0x11, make([]byte, 4097)...), TooLong, 16},
	{"v2 local too long", v2(0x20, 0x00, make([]byte, 4097)...), TooLong, 16},
}

// stream is a connection with a balancer that gives what a reader gives.
type stream struct {
	net.Conn
	io.Reader
}

func (s *stream) Read(b []byte) (int, error) { return s.Reader.Read(b) }
func (s *stream) RemoteAddr() net.Addr       { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 33000} }

func balancers(t testing.TB) *Trust {
	t.Helper()
	trust, err := ParseTrust("10.0.0.0/8, 127.0.0.1, ::1")
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// readers are ways in which the same bytes may come.
var readers = map[string]func([]byte) io.Reader{
	"at once":        func(b []byte) io.Reader { return bytes.NewReader(b) },
	"byte by byte":   func(b []byte) io.Reader { return iotest.OneByteReader(bytes.NewReader(b)) },
	"in halves":      func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) },
	"end with bytes": func(b []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(b)) },
}

const behind = "\x00\x0f356307042441013"

func TestGoodHeaders(t *testing.T) {
	for _, g := range good {
		for way, reader := range readers {
			c, kind, err := balancers(t).Header(&stream{Reader: reader(with(g.header, []byte(behind)))})
			if err != nil {
				t.Errorf("%s, %s: %v", g.name, way, err)
				continue
			}
			if rest, err := io.ReadAll(c); string(rest) != behind || err != nil {
				t.Errorf("%s, %s: %q is left behind the header, %v", g.name, way, rest, err)
			}
			switch {
			case g.client == "" && kind != Check:
				t.Errorf("%s, %s: kind %v, not a check", g.name, way, kind)
			case g.client != "" && (kind != Proxied || c.RemoteAddr().String() != g.client):
				t.Errorf("%s, %s: kind %v, client %v, want %v", g.name, way, kind, c.RemoteAddr(), g.client)
			}
		}
	}
}

func TestBadHeaders(t *testing.T) {
	for _, b := range bad {
		for way, reader := range readers {
			c, _, err := balancers(t).Header(&stream{Reader: reader(b.header)})
			refused, ok := errors.AsType[*Error](err)
			if !ok || c != nil {
				t.Errorf("%s, %s: not refused: %v", b.name, way, err)
				continue
			}
			if refused.Reason != b.reason {
				t.Errorf("%s, %s: reason %s, want %s: %v", b.name, way, refused.Reason, b.reason, err)
			}
			offset := b.offset
			if offset < 0 {
				offset = len(b.header)
			}
			if way == "at once" && refused.Offset != offset {
				t.Errorf("%s: offset %d, want %d", b.name, refused.Offset, offset)
			}
		}
	}
}

// Every prefix of a right header is refused as cut, except nothing at all: that is a check by connecting alone.
func TestPrefixes(t *testing.T) {
	for _, g := range good {
		for n := range len(g.header) {
			if n > 300 && n < len(g.header)-10 {
				continue // all alike
			}
			c, kind, err := balancers(t).Header(&stream{Reader: bytes.NewReader(g.header[:n])})
			if n == 0 {
				if kind != Check || c == nil || err != nil {
					t.Errorf("nothing: kind %v, %v", kind, err)
				}
				continue
			}
			refused, ok := errors.AsType[*Error](err)
			if !ok || refused.Reason != Truncated || refused.Offset != n || !errors.Is(err, io.EOF) {
				t.Errorf("%s, %d bytes: %v", g.name, n, err)
			}
		}
	}
}

func TestHeaderInTime(t *testing.T) {
	for _, sent := range []string{"", "PROXY TCP4 198", "\r\n\r\n\x00\r"} {
		ours, theirs := tcpPair(t)
		if _, err := io.WriteString(theirs, sent); err != nil {
			t.Fatal(err)
		}
		if err := ours.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, _, err := balancers(t).Header(ours)
		refused, ok := errors.AsType[*Error](err)
		if !ok || refused.Reason != TimedOut || refused.Offset != len(sent) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q: %v", sent, err)
		}
	}
}
