package simulate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Why a link ends.
var (
	errRefused   = errors.New("login refused")
	errNoAnswer  = errors.New("no answer within the response timeout")
	errDisrupted = errors.New("disconnected by the device itself")
)

// wrongAnswer is an answer that no correct server gives.
type wrongAnswer struct{ detail string }

func (e *wrongAnswer) Error() string { return e.detail }

// link is a device's connection, one exchange at a time.
type link struct {
	conn    net.Conn
	timeout time.Duration // to wait for an answer
	idle    atomic.Bool   // wait is reading, so wake may end it
	expiry  time.Time     // of the write deadline
	buffer  [8]byte
}

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// login sends the login and reads the one byte that answers it.
func (l *link) login(login []byte) error {
	now := time.Now()
	if err := l.send(login, now); err != nil {
		return err
	}
	n, err := l.read(now.Add(l.timeout), 1)
	switch {
	case err != nil:
		return err
	case n == 1 && l.buffer[0] == teltonika.LoginAccept:
		return nil
	case n == 1 && l.buffer[0] == teltonika.LoginRefuse:
		return errRefused
	}
	return &wrongAnswer{fmt.Sprintf("login answered with % x", l.buffer[:n])}
}

// send writes bytes, in once or twice the timeout or not at all: the deadline is renewed only when less than once
// is left, because setting it costs more than building a frame of some records.
func (l *link) send(b []byte, now time.Time) error {
	if l.expiry.Sub(now) < l.timeout {
		l.expiry = now.Add(2 * l.timeout)
		if err := l.conn.SetWriteDeadline(l.expiry); err != nil {
			return err
		}
	}
	_, err := l.conn.Write(b)
	return err
}

// awaitACK reads the answer to a frame of so many records that was sent at the given time.
func (l *link) awaitACK(records int, sent time.Time) error {
	n, err := l.read(sent.Add(l.timeout), 4)
	if err != nil {
		return err
	}
	if n > 4 || binary.BigEndian.Uint32(l.buffer[:]) != uint32(records) {
		return &wrongAnswer{fmt.Sprintf("frame of %d records answered with % x", records, l.buffer[:n])}
	}
	return nil
}

// read waits for so many bytes until the deadline. More than asked for is returned too, since nobody sends
// any to a tracker that has not spoken.
func (l *link) read(deadline time.Time, want int) (n int, err error) {
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	for n < want {
		got, err := l.conn.Read(l.buffer[n:])
		n += got
		switch {
		case n >= want || err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case time.Now().Before(deadline):
			// It was wake, which came just after the link had stopped waiting.
			if err := l.conn.SetReadDeadline(deadline); err != nil {
				return n, err
			}
		default:
			return n, errNoAnswer
		}
	}
	return n, nil
}

// wait lets time pass until the deadline, or for ever if it is zero, or until stopped tells so when wake
// is called. It returns the reason if the link ends meanwhile.
func (l *link) wait(deadline time.Time, stopped func() bool) error {
	l.idle.Store(true)
	defer l.idle.Store(false)
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	if stopped() {
		return nil
	}
	n, err := l.conn.Read(l.buffer[:])
	switch {
	case n > 0:
		return &wrongAnswer{fmt.Sprintf("% x without a frame to answer", l.buffer[:n])}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// wake ends a wait. Any goroutine may call it.
func (l *link) wake() {
	if l.idle.Load() {
		l.conn.SetReadDeadline(past) // fails only if the link has ended by itself
	}
}

// keepAlive sends the byte of an idle tracker ("network ping").
func (l *link) keepAlive() error {
	return l.send([]byte{teltonika.KeepAlive}, time.Now())
}

// farewell closes the sending side and makes sure that the server has nothing more to say. Only an answer too many
// is an error; how soon the server closes is its own affair.
func (l *link) farewell() error {
	half, ok := l.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || l.conn.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return nil
	}
	if n, _ := l.conn.Read(l.buffer[:]); n > 0 {
		return &wrongAnswer{fmt.Sprintf("% x after the last ACK", l.buffer[:n])}
	}
	return nil
}
