package proxyheader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/pires/go-proxyproto"
)

// Reason says, in one word of a closed set, why a header was refused: it may label a metric.
type Reason string

// What is wrong with a header.
const (
	Missing     Reason = "missing"     // the connection begins with something else
	Malformed   Reason = "malformed"   // it begins as a header and goes on as none
	Unsupported Reason = "unsupported" // a right header whose client is not one of TCP over IP
	TooLong     Reason = "too_long"    // above 107 bytes (version 1), or 4096 behind the length field (version 2)
	Checksum    Reason = "checksum"    // version 2 with a CRC32C that does not fit
	Truncated   Reason = "truncated"   // the connection ended within it
	TimedOut    Reason = "timeout"     // the read deadline passed before its end
	Failed      Reason = "failed"      // reading failed otherwise
)

// Reasons are all reasons.
var Reasons = []Reason{Missing, Malformed, Unsupported, TooLong, Checksum, Truncated, TimedOut, Failed}

// Error is a header that was refused.
type Error struct {
	Reason Reason
	Offset int    // how many bytes had been read when that was clear; 0 to 4112
	Err    error  // what exactly was found; never nil
	First  []byte // what had been read, maxFirst bytes at most
}

// maxFirst is how much is kept of what was no header.
const maxFirst = 64

func (e *Error) Error() string {
	return fmt.Sprintf("PROXY header refused after %d bytes: %s: %v", e.Offset, e.Reason, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// readError is the refusal of a header that could not be read to its end.
func readError(offset int, err error) *Error {
	reason := Failed
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = TimedOut
	case isEnd(err):
		reason, err = Truncated, fmt.Errorf("connection ended within the header: %w", err)
	}
	return &Error{Reason: reason, Offset: offset, Err: err}
}

// parseError is the refusal of a header that was read whole.
func parseError(size int, err error) *Error {
	reason := Malformed
	if errors.Is(err, proxyproto.ErrUnsupportedAddressFamilyAndProtocol) || errors.Is(err, errNotTCP) {
		reason = Unsupported
	}
	if errors.Is(err, errChecksum) {
		reason = Checksum
	}
	return &Error{Reason: reason, Offset: size, Err: err}
}

// isEnd reports whether the peer has ended the connection.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}
