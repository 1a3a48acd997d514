package simulate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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

// link is a device's connection, used by one goroutine.
type link struct {
	conn    net.Conn
	timeout time.Duration // to wait for an answer
	expiry  time.Time     // of the write deadline
	buffer  [8]byte       // what has been received and not been taken; enough for what comes often
	held    int           // bytes in it
}

// wholeness is how soon the rest of what has begun to arrive must be there, at most: a server writes it at once.
const wholeness = 5 * time.Second

// maxCommand is the longest frame that a device takes, in bytes.
const maxCommand = 8192

// login sends the login and reads the one byte that answers it.
func (l *link) login(login []byte) error {
	now := time.Now()
	if err := l.send(login, now); err != nil {
		return err
	}
	if err := l.fill(1, now.Add(l.timeout)); err != nil {
		return err
	}
	switch answer := l.buffer[0]; answer {
	case teltonika.LoginAccept:
		l.take(1)
		return nil
	case teltonika.LoginRefuse:
		return errRefused
	default:
		return &wrongAnswer{fmt.Sprintf("login answered with % x", l.buffer[:l.held])}
	}
}

// send writes bytes within two timeouts, or fails. It renews the deadline only when less than one is left, because
// setting it costs more than building a frame of some records.
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

// receive reads what the server says next until the deadline: an ACK of so many records, or the frame of a command. An
// ACK is of at least one record here, because no frame is empty: four zero bytes are the preamble of a frame.
func (l *link) receive(deadline time.Time) (records uint32, command teltonika.Frame, err error) {
	if err := l.fill(4, deadline); err != nil {
		return 0, nil, err
	}
	if records := binary.BigEndian.Uint32(l.buffer[:]); records != 0 {
		l.take(4)
		return records, nil, nil
	}
	command, err = l.receiveCommand(l.soon())
	if errors.Is(err, errNoAnswer) {
		err = &wrongAnswer{fmt.Sprintf("% x and nothing more: neither an ACK nor a whole frame", l.buffer[:l.held])}
	}
	return 0, command, err
}

// soon is when what has begun to arrive must be there.
func (l *link) soon() time.Time { return time.Now().Add(min(wholeness, l.timeout)) }

// receiveCommand reads the frame whose preamble has arrived. A device ignores one with a wrong CRC in silence; here it
// is an error, because no server sends one that is not broken.
func (l *link) receiveCommand(deadline time.Time) (teltonika.Frame, error) {
	if err := l.fill(teltonika.HeaderSize, deadline); err != nil {
		return nil, err
	}
	size, err := teltonika.ParseHeader(l.buffer[:], maxCommand)
	if err != nil {
		return nil, &wrongAnswer{fmt.Sprintf("% x: %v", l.buffer, err)}
	}
	frame := make(teltonika.Frame, size)
	copy(frame, l.buffer[:])
	for n := l.held; n < size; {
		got, err := l.read(frame[n:], deadline)
		if n += got; err != nil {
			return nil, err
		}
	}
	l.held = 0
	if err := frame.Verify(); err != nil {
		return nil, &wrongAnswer{fmt.Sprintf("command % x: %v", frame, err)}
	}
	return frame, nil
}

// fill reads until at least so many bytes are held, 8 at most.
func (l *link) fill(want int, deadline time.Time) error {
	for l.held < want {
		n, err := l.read(l.buffer[l.held:], deadline)
		if l.held += n; l.held < want && err != nil {
			return err
		}
	}
	return nil
}

// take removes bytes from what is held.
func (l *link) take(n int) {
	copy(l.buffer[:], l.buffer[n:l.held])
	l.held -= n
}

// read reads some bytes, or returns errNoAnswer when the deadline has passed.
func (l *link) read(b []byte, deadline time.Time) (int, error) {
	for {
		if err := l.conn.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
		n, err := l.conn.Read(b)
		switch {
		case n > 0 || err == nil:
			return n, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err
		case !time.Now().Before(deadline):
			return 0, errNoAnswer
		}
		// wake was called, which is for waits only.
	}
}

// wait implements channel.
func (l *link) wait(deadline time.Time, stopped func() bool) error {
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	if stopped() || l.held > 0 {
		return nil
	}
	n, err := l.conn.Read(l.buffer[:])
	l.held = n
	switch {
	case n > 0 || errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

func (l *link) keepAlive() error {
	return l.send([]byte{teltonika.KeepAlive}, time.Now())
}

// hangUp closes the sending side and makes sure that the server has nothing more to say. Only an answer too many
// is an error: a command comes too late for the device, and how soon the server closes is its own affair.
func (l *link) hangUp() error {
	half, ok := l.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return nil
	}
	deadline := time.Now().Add(time.Second)
	for {
		records, command, err := l.receive(deadline)
		var wrong *wrongAnswer
		switch {
		case errors.As(err, &wrong):
			return err
		case err != nil && l.held > 0 && l.buffer[0] != 0:
			return &wrongAnswer{fmt.Sprintf("% x after the last ACK", l.buffer[:l.held])}
		case err != nil:
			return nil
		case command == nil:
			return &wrongAnswer{fmt.Sprintf("ACK of %d records after the last ACK", records)}
		}
	}
}
