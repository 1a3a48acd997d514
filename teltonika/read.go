package teltonika

import (
	"bytes"
	"io"
)

// ReadLogin reads the login that a connection begins with, behind any number of keep-alives, and returns the
// identifier. It reads not a byte more. Errors are those of [ParseLogin] and [ReadFrame].
func ReadLogin(r io.Reader) (string, error) {
	b, err := readStart(r, make([]byte, 2, 2+MaxLoginLength))
	if err != nil {
		return "", err
	}
	n, err := ParseLoginLength(b)
	if err != nil {
		return "", err
	}
	b = b[:2+n]
	if _, err := io.ReadFull(r, b[2:]); err != nil {
		return "", cutShort(err)
	}
	return ParseLogin(b)
}

// ReadFrame reads one frame, behind any number of keep-alives, and not a byte more. Its memory grows with the bytes
// that arrive, so a length field alone costs none. The CRC is not verified.
//
// The error is that of [ParseHeader] or of r: io.EOF where the stream ends between two frames, io.ErrUnexpectedEOF
// where it ends inside one.
func ReadFrame(r io.Reader, maxLength int) (Frame, error) {
	header, err := readStart(r, make([]byte, HeaderSize))
	if err != nil {
		return nil, err
	}
	size, err := ParseHeader(header, maxLength)
	if err != nil {
		return nil, err
	}
	frame := bytes.NewBuffer(header)
	if _, err := io.CopyN(frame, r, int64(size-HeaderSize)); err != nil {
		return nil, cutShort(err)
	}
	return frame.Bytes(), nil
}

// readStart fills b with what follows the keep-alives.
func readStart(r io.Reader, b []byte) ([]byte, error) {
	for n := 0; n < len(b); {
		m, err := r.Read(b[n:])
		n = copy(b, TrimKeepAlives(b[:n+m]))
		if err != nil && n < len(b) {
			if n > 0 {
				err = cutShort(err)
			}
			return nil, err
		}
	}
	return b, nil
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
