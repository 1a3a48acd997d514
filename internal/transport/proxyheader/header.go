package proxyheader

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"

	"github.com/pires/go-proxyproto"
)

// Sizes in bytes, from sections 2.1 and 2.2 of the specification.
//
//	version 1:  "PROXY TCP4 192.0.2.7 192.0.2.1 40000 5027\r\n"
//	version 2:  signature 12 | version, command 1 | family, protocol 1 | length 2 | addresses and TLVs, length
const (
	signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"
	signatureV1 = "PROXY "

	minV1   = len("PROXY UNKNOWN\r\n")
	maxV1   = 107
	fixedV2 = 16

	// maxLengthV2 is the largest length field taken. The addresses need 36; a certificate of the client's in a TLV
	// one or two thousand.
	maxLengthV2 = 4096
	maxHeader   = fixedV2 + maxLengthV2
)

var (
	errNoHeader  = errors.New("no PROXY header")
	errNoCRLF    = errors.New("version 1 without CR LF at its end")
	errV1TooLong = errors.New("version 1 without an end in 107 bytes")
	errNotTCP    = errors.New("the client's address is not one of TCP over IP")
	errChecksum  = errors.New("the CRC32C does not fit")
	errCRCLength = errors.New("the CRC32C is not of 4 bytes")
)

// isBeginning reports whether b and the signature agree as far as both go.
func isBeginning(b []byte, signature string) bool {
	n := min(len(b), len(signature))
	return string(b[:n]) == signature[:n]
}

// readHeader reads a header and not a byte more. What it reads is at the buffer's beginning.
func readHeader(r io.Reader, buffer *[maxHeader]byte) (size int, refused *Error) {
	for size < len(signatureV2) { // shorter than any header
		n, err := r.Read(buffer[size:len(signatureV2)])
		size += n
		if !isBeginning(buffer[:size], signatureV1) && !isBeginning(buffer[:size], signatureV2) {
			return size, &Error{Reason: Missing, Offset: size,
				Err: fmt.Errorf("%w: it begins with %.12q", errNoHeader, buffer[:size])}
		}
		if err != nil && size < len(signatureV2) {
			return size, readError(size, err)
		}
	}
	if isBeginning(buffer[:size], signatureV1) {
		return readV1(r, buffer, size)
	}
	return readV2(r, buffer, size)
}

// readV1 reads up to CR LF, by as many bytes as must still come at least.
func readV1(r io.Reader, buffer *[maxHeader]byte, size int) (int, *Error) {
	for want := minV1; ; {
		n, err := io.ReadFull(r, buffer[size:want])
		size += n
		if end := bytes.IndexByte(buffer[:size], '\n'); end >= 0 {
			if end != size-1 || buffer[end-1] != '\r' {
				return size, &Error{Reason: Malformed, Offset: size, Err: errNoCRLF}
			}
			return size, nil
		}
		if err != nil {
			return size, readError(size, atEnd(err))
		}
		if size == maxV1 {
			return size, &Error{Reason: TooLong, Offset: size, Err: errV1TooLong}
		}
		if want = size + 2; buffer[size-1] == '\r' {
			want = size + 1
		}
		want = min(want, maxV1)
	}
}

// readV2 reads as much as the length field says.
func readV2(r io.Reader, buffer *[maxHeader]byte, size int) (int, *Error) {
	n, err := io.ReadFull(r, buffer[size:fixedV2])
	size += n
	if err != nil {
		return size, readError(size, atEnd(err))
	}
	length := int(binary.BigEndian.Uint16(buffer[fixedV2-2 : fixedV2]))
	if length > maxLengthV2 {
		return size, &Error{Reason: TooLong, Offset: size,
			Err: fmt.Errorf("version 2 with %d bytes behind its length, at most %d are taken", length, maxLengthV2)}
	}
	n, err = io.ReadFull(r, buffer[size:size+length])
	size += n
	if err != nil {
		return size, readError(size, atEnd(err))
	}
	return size, nil
}

// atEnd makes one error of the connection's end before and after the first byte that was asked for.
func atEnd(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// nginx writes the address of an IPv4 client that came in by an IPv6 listener in a way that the specification forbids;
// what it means is clear.
func init() { proxyproto.V1AcceptIPv4InTCP6 = true }

// parseHeader returns the client that a whole header names, or nil if the balancer speaks for itself: LOCAL in
// version 2, UNKNOWN in version 1. It may change raw.
func parseHeader(raw []byte) (*net.TCPAddr, error) {
	// The library reads from a buffer of its own, which would take in what is behind the header and live as long as
	// the connection. So it is given the header alone.
	header, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(raw), len(raw)))
	if err != nil {
		return nil, err
	}
	if header.Command.IsLocal() {
		return nil, nil
	}
	client, _, ok := header.TCPAddrs()
	if !ok {
		return nil, errNotTCP
	}
	if header.Version == 2 {
		addresses := 2 * (len(client.IP) + 2) // with the ports
		if err := verifyChecksum(raw, fixedV2+addresses); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// verifyChecksum looks through the TLVs, which begin at the offset, for the header's CRC32C. It is taken over the whole
// header with zeros in its own place. What else the TLVs say is not looked at.
//
//	type 1 | length 2 | value, length
func verifyChecksum(raw []byte, at int) error {
	for at < len(raw) {
		if len(raw)-at < 3 {
			return proxyproto.ErrTruncatedTLV
		}
		kind, value := proxyproto.PP2Type(raw[at]), at+3
		at = value + int(binary.BigEndian.Uint16(raw[at+1:]))
		if at > len(raw) {
			return proxyproto.ErrTruncatedTLV
		}
		if kind != proxyproto.PP2_TYPE_CRC32C {
			continue
		}
		if at-value != crc32.Size {
			return errCRCLength
		}
		want := binary.BigEndian.Uint32(raw[value:at])
		clear(raw[value:at])
		if crc32.Checksum(raw, castagnoli) != want {
			return errChecksum
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
