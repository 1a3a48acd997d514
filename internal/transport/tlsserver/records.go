package tlsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// headerSize is that of a TLS record:
//
//	type u8 | version u16 | length u16 | length bytes
const headerSize = 5

// handshakeRecord is the type of the record that a TLS connection begins with, alertRecord of one that says what is
// wrong: `level u8 | code u8`, if it is not encrypted.
const (
	handshakeRecord = 0x16
	alertRecord     = 0x15
	alertSize       = 2
)

// closeTimeout is how long Close may take to say goodbye to a device that has stopped reading.
const closeTimeout = 20 * time.Millisecond

// betweenRecords is what a tls.Conn is told instead of waiting for the next record. Being temporary, it is not kept.
type betweenRecords struct{}

func (betweenRecords) Error() string   { return "between two TLS records" }
func (betweenRecords) Timeout() bool   { return false }
func (betweenRecords) Temporary() bool { return true }

var errBetweenRecords net.Error = betweenRecords{}

// records is the socket as its tls.Conn sees it: never more at once than the rest of a record, so that it holds no
// bytes of the next one, and nothing at all between two records once the handshake is done. Waiting for the
// next record is Conn's business: it needs less stack there.
type records struct {
	net.Conn
	head    [headerSize]byte
	have    uint8 // bytes of head that were received
	given   uint8 // bytes of head that were passed on
	left    int   // bytes of the record behind its head
	attempt *attempt
	closing atomic.Bool
}

// attempt is a handshake under way.
type attempt struct {
	ctx       context.Context
	semaphore *semaphore
	inside    bool   // the semaphore
	hello     *offer // nil until the device's hello was read
	answered  bool   // something was sent, an alert at the least
	alert     byte   // the code of an alert that was not encrypted, 0 if there was none
}

// offer is what a device's hello offers.
type offer struct {
	versions, suites []uint16
}

// receive waits for more of the header: all that is there of it.
func (r *records) receive() error {
	n, err := r.Conn.Read(r.head[r.have:])
	r.have += uint8(n)
	if n > 0 {
		return nil
	}
	if err == io.EOF && r.have > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// await waits for the next record's header.
func (r *records) await() error {
	for r.have < headerSize {
		if err := r.receive(); err != nil {
			return err
		}
	}
	return nil
}

// Read gives a tls.Conn the next bytes of the record that has begun.
func (r *records) Read(p []byte) (int, error) {
	if r.given == r.have && r.left == 0 {
		if r.attempt == nil {
			return 0, errBetweenRecords
		}
		r.attempt.leave()
		if err := r.receive(); err != nil {
			return 0, err
		}
	}
	if r.given < r.have {
		return r.giveBack(p), nil
	}
	if r.attempt != nil {
		r.attempt.leave()
	}
	n, err := r.Conn.Read(p[:min(len(p), r.left)])
	r.left -= n
	if n > 0 && r.left == 0 && r.attempt != nil && r.isPlainAlert() {
		r.attempt.alert = p[n-1]
	}
	return n, r.endOfRead(err)
}

// isPlainAlert reports whether the record is an alert that was not encrypted. In TLS 1.3 that is how OpenSSL refuses a
// certificate, which a tls.Conn, for which everything is encrypted by then, takes for a forgery.
func (r *records) isPlainAlert() bool {
	return r.head[0] == alertRecord && binary.BigEndian.Uint16(r.head[3:]) == alertSize
}

// giveBack passes on what was received of the header.
func (r *records) giveBack(p []byte) int {
	n := copy(p, r.head[r.given:r.have])
	r.given += uint8(n)
	if r.given == headerSize {
		r.left = int(binary.BigEndian.Uint16(r.head[3:]))
		r.have, r.given = 0, 0
	}
	return n
}

// endOfRead waits for a place to compute, when a handshake has a whole record to take.
func (r *records) endOfRead(err error) error {
	if err != nil || r.left > 0 || r.attempt == nil {
		return err
	}
	return r.attempt.enter()
}

// Write notes that the device was answered. It is called inside the semaphore, where nobody may wait: a handshake's
// messages fit into a new socket's buffer.
func (r *records) Write(p []byte) (int, error) {
	if r.attempt != nil {
		r.attempt.answered = true
	}
	return r.Conn.Write(p)
}

// SetWriteDeadline bounds the goodbye of tls.Conn.Close, which would wait five seconds.
func (r *records) SetWriteDeadline(t time.Time) error {
	if latest := time.Now().Add(closeTimeout); r.closing.Load() && (t.IsZero() || t.After(latest)) {
		t = latest
	}
	return r.Conn.SetWriteDeadline(t)
}

func (a *attempt) leave() {
	if a.inside {
		a.inside = false
		a.semaphore.leave()
	}
}

func (a *attempt) enter() error {
	if a.inside {
		return nil
	}
	if err := a.semaphore.enter(a.ctx, a.hello == nil); err != nil {
		return err
	}
	a.inside = true
	return nil
}

var errNoHandshake = errors.New("the connection's handshake is not done")
