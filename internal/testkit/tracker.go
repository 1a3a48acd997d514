package testkit

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Tracker is a tracker that does what the test says, byte by byte. Whatever does not go as expected fails
// the test at once, so its methods are for the test's own goroutine.
type Tracker struct {
	Conn    net.Conn
	Timeout time.Duration // for each write, and for each answer that is expected; 30 s unless changed

	tb testing.TB
}

// Dial connects a tracker to a TCP address. The connection is closed at the end of the test.
func Dial(tb testing.TB, addr string) *Tracker {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", addr, Timeout)
	if err != nil {
		tb.Fatalf("tracker: %v", err)
	}
	return NewTracker(tb, conn)
}

// NewTracker makes a tracker of a connection, as of one end of net.Pipe. The connection is closed at the
// end of the test.
func NewTracker(tb testing.TB, conn net.Conn) *Tracker {
	tb.Cleanup(func() { conn.Close() })
	return &Tracker{Conn: conn, Timeout: 30 * time.Second, tb: tb}
}

// Close closes the connection, as a tracker that leaves coverage.
func (t *Tracker) Close() { t.Conn.Close() }

// Send writes the bytes in segments of the given sizes, and what is left in one more. Over TCP a segment is
// one write; the network may still join them.
func (t *Tracker) Send(raw []byte, sizes ...int) {
	t.tb.Helper()
	for _, size := range sizes {
		n := min(size, len(raw))
		t.write(raw[:n])
		raw = raw[n:]
	}
	t.write(raw)
}

// SendBytewise writes the bytes one by one.
func (t *Tracker) SendBytewise(raw []byte) {
	t.tb.Helper()
	for i := range raw {
		t.write(raw[i : i+1])
	}
}

func (t *Tracker) write(b []byte) {
	t.tb.Helper()
	if len(b) == 0 {
		return
	}
	t.setDeadline(t.Conn.SetWriteDeadline, t.Timeout)
	if _, err := t.Conn.Write(b); err != nil {
		t.tb.Fatalf("tracker: sending % x: %v", b, err)
	}
}

// SendLogin sends the login of the identifier and does not wait for the answer.
func (t *Tracker) SendLogin(imei string) {
	t.tb.Helper()
	login, err := teltonika.AppendLogin(nil, imei)
	if err != nil {
		t.tb.Fatalf("tracker: %v", err)
	}
	t.Send(login)
}

// Login sends the login of the identifier and returns the answer, [teltonika.LoginAccept] or
// [teltonika.LoginRefuse].
func (t *Tracker) Login(imei string) byte {
	t.tb.Helper()
	t.SendLogin(imei)
	return t.read(1, "login answer")[0]
}

// MustLogin is Login that has to be accepted.
func (t *Tracker) MustLogin(imei string) {
	t.tb.Helper()
	if answer := t.Login(imei); answer != teltonika.LoginAccept {
		t.tb.Fatalf("tracker: login of %s answered with %02x, expected 01", imei, answer)
	}
}

// Frame encodes the records as one frame.
func (t *Tracker) Frame(codec teltonika.Codec, records ...teltonika.Record) []byte {
	t.tb.Helper()
	data := teltonika.AVLData{Codec: codec, Records: records}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		t.tb.Fatalf("tracker: %v", err)
	}
	return frame
}

// SendFrame sends the records as one frame and returns its bytes.
func (t *Tracker) SendFrame(codec teltonika.Codec, records ...teltonika.Record) []byte {
	t.tb.Helper()
	frame := t.Frame(codec, records...)
	t.Send(frame)
	return frame
}

// SendKeepAlive sends one FF.
func (t *Tracker) SendKeepAlive() {
	t.tb.Helper()
	t.Send([]byte{teltonika.KeepAlive})
}

// ReadACK reads the answer to a frame, the number of records taken.
func (t *Tracker) ReadACK() int {
	t.tb.Helper()
	return int(binary.BigEndian.Uint32(t.read(4, "ACK")))
}

// ExpectACK reads the answer to a frame, which has to be the number.
func (t *Tracker) ExpectACK(records int) {
	t.tb.Helper()
	if got := t.ReadACK(); got != records {
		t.tb.Fatalf("tracker: ACK is %d, expected %d", got, records)
	}
}

// ReadFrame reads a frame from the server, as of a command.
func (t *Tracker) ReadFrame() teltonika.Frame {
	t.tb.Helper()
	t.setDeadline(t.Conn.SetReadDeadline, t.Timeout)
	frame, err := teltonika.ReadFrame(t.Conn, 1<<16)
	if err != nil {
		t.tb.Fatalf("tracker: frame from the server: %v", err)
	}
	if err := frame.Verify(); err != nil {
		t.tb.Fatalf("tracker: frame from the server: %v", err)
	}
	return frame
}

// ExpectNoAnswer fails if anything arrives, or the connection ends, within the time. Outside of a synctest bubble
// it really takes that long: to see that a frame was refused it is better to send another one behind it.
func (t *Tracker) ExpectNoAnswer(within time.Duration) {
	t.tb.Helper()
	t.setDeadline(t.Conn.SetReadDeadline, within)
	var b [16]byte
	n, err := t.Conn.Read(b[:])
	switch {
	case n > 0:
		t.tb.Fatalf("tracker: % x arrived, expected no answer", b[:n])
	case !errors.Is(err, os.ErrDeadlineExceeded):
		t.tb.Fatalf("tracker: connection ended, expected no answer: %v", err)
	}
}

// ExpectClosed fails unless the server closes the connection, within the Timeout and without another byte.
func (t *Tracker) ExpectClosed() {
	t.tb.Helper()
	t.setDeadline(t.Conn.SetReadDeadline, t.Timeout)
	rest, err := io.ReadAll(t.Conn)
	if err != nil && !closed(err) {
		t.tb.Fatalf("tracker: connection is not closed: %v", err)
	}
	if len(rest) > 0 {
		t.tb.Fatalf("tracker: % x arrived, expected the connection to be closed", rest)
	}
}

// closed reports whether a read failed because the peer has closed: politely, or with bytes of ours unread.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, syscall.ECONNRESET)
}

func (t *Tracker) read(n int, what string) []byte {
	t.tb.Helper()
	t.setDeadline(t.Conn.SetReadDeadline, t.Timeout)
	b := make([]byte, n)
	if got, err := io.ReadFull(t.Conn, b); err != nil {
		t.tb.Fatalf("tracker: %s: %v after % x", what, err, b[:got])
	}
	return b
}

func (t *Tracker) setDeadline(set func(time.Time) error, ahead time.Duration) {
	t.tb.Helper()
	// A pipe whose other end is closed takes no deadline. The read or write tells what is the matter.
	if err := set(time.Now().Add(ahead)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.tb.Fatalf("tracker: %v", err)
	}
}
