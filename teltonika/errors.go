package teltonika

import (
	"errors"
	"fmt"
)

// What can be wrong with a packet. Every error of this package matches one of them with errors.Is.
var (
	// ErrIncomplete: the input ends before the packet does. More bytes may complete it.
	ErrIncomplete = errors.New("incomplete packet")
	// ErrLogin: not the login of a tracker.
	ErrLogin = errors.New("malformed login")
	// ErrPreamble: a frame does not start with four zero bytes.
	ErrPreamble = errors.New("wrong preamble")
	// ErrLength: the data field length is below 3 or above the reader's limit, or that of a UDP answer is not 5.
	ErrLength = errors.New("data field length out of range")
	// ErrCRC: the CRC field differs from the CRC of the data, or its upper half is not zero.
	ErrCRC = errors.New("wrong CRC")
	// ErrUnknownCodec: the codec id is none that this package decodes.
	ErrUnknownCodec = errors.New("unknown codec")
	// ErrOverrun: a field runs past the end of the data.
	ErrOverrun = errors.New("field runs past the data")
	// ErrTrailing: bytes are left over where number of data 2 should stand, or behind a UDP answer.
	ErrTrailing = errors.New("unparsed bytes")
	// ErrCount: number of data 2 differs from number of data 1.
	ErrCount = errors.New("number of data 1 and 2 differ")
	// ErrEncode: a value cannot be written in the chosen codec.
	ErrEncode = errors.New("not encodable")
)

// Op is what failed: to read a packet, or to write one.
type Op string

// The operations.
const (
	OpDecode Op = "decode"
	OpEncode Op = "encode"
)

// Error says what is wrong with a packet and where, or what cannot be written.
type Error struct {
	Op     Op
	Err    error  // one of the Err values above, ErrEncode always and only with OpEncode
	Field  string // the field in the words of the protocol, as "record 2 longitude"
	Offset int    // of the field, in bytes from the start of what was decoded; 0 with OpEncode
	Detail string // what was found and what was expected
}

func (e *Error) Error() string {
	if e.Op == OpEncode {
		return fmt.Sprintf("%s: %v: %s", e.Field, e.Err, e.Detail)
	}
	return fmt.Sprintf("%s at byte %d: %v: %s", e.Field, e.Offset, e.Err, e.Detail)
}

// Unwrap returns the Err value that the error matches.
func (e *Error) Unwrap() error { return e.Err }

// StreamOK reports whether the bytes that follow the packet can still be read: its end is known, only its content is
// wrong. After any other error the reader has lost the frames' boundaries, and the connection is of no further use.
func (e *Error) StreamOK() bool {
	switch e.Err {
	case ErrIncomplete, ErrLogin, ErrPreamble, ErrLength:
		return false
	}
	return true
}

// Shift moves the offset of a decoding [*Error] by base, where what was decoded begins in a larger packet. It returns
// any other error as it is.
func Shift(err error, base int) error {
	e, ok := err.(*Error)
	if !ok || e.Op == OpEncode {
		return err
	}
	moved := *e
	moved.Offset += base
	return &moved
}

func fail(err error, field string, offset int, format string, args ...any) *Error {
	return &Error{Op: OpDecode, Err: err, Field: field, Offset: offset, Detail: fmt.Sprintf(format, args...)}
}

func unencodable(field, format string, args ...any) *Error {
	return &Error{Op: OpEncode, Err: ErrEncode, Field: field, Detail: fmt.Sprintf(format, args...)}
}
