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

// DecodeError says what is wrong with a packet and where.
type DecodeError struct {
	Err    error  // one of the Err values above
	Field  string // the field in the words of the protocol, as "record 2 longitude"
	Offset int    // of the field, in bytes from the start of what was decoded; no meaning with ErrEncode
	Detail string // what was found and what was expected
}

func (e *DecodeError) Error() string {
	if e.Err == ErrEncode {
		return fmt.Sprintf("%s: %v: %s", e.Field, e.Err, e.Detail)
	}
	return fmt.Sprintf("%s at byte %d: %v: %s", e.Field, e.Offset, e.Err, e.Detail)
}

// Unwrap returns the Err value that the error matches.
func (e *DecodeError) Unwrap() error { return e.Err }

// StreamOK reports whether the bytes that follow the packet can still be read: the packet was
// delimited, only its content is wrong. After any other error the reader has lost the frame
// boundaries and the connection is of no further use.
func (e *DecodeError) StreamOK() bool {
	switch e.Err {
	case ErrIncomplete, ErrLogin, ErrPreamble, ErrLength:
		return false
	}
	return true
}

// At moves the offset of a decode error by base, the position in a larger packet of what was decoded.
// Other errors are returned as they are.
func At(base int, err error) error {
	e, ok := err.(*DecodeError)
	if !ok {
		return err
	}
	moved := *e
	moved.Offset += base
	return &moved
}

func fail(err error, field string, offset int, format string, args ...any) *DecodeError {
	return &DecodeError{Err: err, Field: field, Offset: offset, Detail: fmt.Sprintf(format, args...)}
}
