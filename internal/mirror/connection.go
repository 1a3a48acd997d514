package mirror

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	zeroPatience = time.Second // four zero bytes are an answer if nothing follows, else how a command begins
	maxCommand   = 64 << 10    // bytes of a command's data field
)

// What an attempt may end with.
const (
	outcomeAcknowledged = "acknowledged"
	outcomeSent         = "sent" // a message, which nobody answers
	outcomeWrongAnswer  = "wrong_answer"
	outcomeNoAnswer     = "no_answer"
	outcomeClosed       = "closed"
	outcomeRefused      = "refused"     // a login
	outcomeUnreachable  = "unreachable" // a login
	outcomeAccepted     = "accepted"    // a login
)

var (
	errRefused     = errors.New("the old platform refuses the device")
	errWrongAnswer = errors.New("the old platform answers something else")
	errUnasked     = errors.New("the old platform says what nobody asked")
	errUnreachable = errors.New("the old platform takes no connection")
)

// outcomeOf is what an error says of the old platform.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return outcomeAcknowledged
	case errors.Is(err, errRefused):
		return outcomeRefused
	case errors.Is(err, errWrongAnswer), errors.Is(err, errUnasked):
		return outcomeWrongAnswer
	case errors.Is(err, errUnreachable):
		return outcomeUnreachable
	case errors.Is(err, os.ErrDeadlineExceeded):
		return outcomeNoAnswer
	}
	return outcomeClosed
}

// connect makes a connection and logs the device in.
func (b *bearer) connect() error {
	err := b.dial()
	if err == nil {
		err = b.login()
	}
	m := b.mirror
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	outcome := outcomeOf(err)
	if err == nil {
		outcome = outcomeAccepted
		b.setRefused(false)
		b.refusals.Reset()
		b.refusedLogins = 0
	}
	m.metrics.logins.WithLabelValues(outcome).Inc()
	if err == nil || errors.Is(err, errRefused) { // it is there
		if f := m.away.Worked(); f != nil {
			m.Logger.Info("mirror answers again", "address", m.Address, "after", f.Lasted())
		}
	} else if f, due := m.away.Failed(err); due {
		m.Logger.Warn("mirror does not answer", "address", m.Address, "error", f.Err)
	}
	return err
}

func (b *bearer) dial() error {
	m := b.mirror
	select {
	case m.dials <- struct{}{}:
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	defer func() { <-m.dials }()
	conn, err := (&net.Dialer{Timeout: m.patience}).DialContext(b.ctx, "tcp", m.Address)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	b.conn, b.release = conn, deadline.Until(b.ctx, conn)
	m.metrics.connections.Inc()
	return nil
}

// allow allows so long for an answer, whatever comes before it.
func (b *bearer) allow() error {
	b.until = time.Now().Add(b.mirror.patience)
	if err := b.conn.SetDeadline(b.until); err != nil {
		return err
	}
	return b.ctx.Err() // asked afterwards: if it ends later, it overwrites the deadline
}

// readBy is the deadline for what is read next.
func (b *bearer) readBy(t time.Time) error {
	if err := b.conn.SetReadDeadline(t); err != nil {
		return err
	}
	return b.ctx.Err() // likewise
}

func (b *bearer) login() error {
	login, err := teltonika.AppendLogin(nil, b.device)
	if err != nil {
		return err
	}
	if err := b.allow(); err != nil {
		return err
	}
	if _, err := b.conn.Write(login); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(b.conn, answer[:]); err != nil {
		return err
	}
	switch answer[0] {
	case teltonika.LoginAccept:
		return nil
	case teltonika.LoginRefuse:
		return errRefused
	}
	return fmt.Errorf("%w: %02x to a login", errWrongAnswer, answer[0])
}

// exchange sends a frame and compares the answer. A message has none.
func (b *bearer) exchange(frame teltonika.Frame) error {
	if err := b.allow(); err != nil {
		return err
	}
	if err := b.clear(); err != nil {
		return err
	}
	if _, err := b.conn.Write(frame); err != nil {
		return err
	}
	if frame.Codec().IsMessage() {
		return nil
	}
	for want := frame.Count(); ; {
		var answer [4]byte
		if _, err := io.ReadFull(b.conn, answer[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(answer[:])
		if int64(n) == int64(want) {
			return nil
		}
		if n != 0 {
			return fmt.Errorf("%w: %d of %d records", errWrongAnswer, n, want)
		}
		if err := b.skipCommand(want); err != nil {
			return err
		}
	}
}

// clear reads past commands that have arrived before the frame is sent. Anything else would be taken for its answer.
func (b *bearer) clear() error {
	for {
		switch some, err := arrived(b.conn); {
		case err != nil:
			return err
		case !some:
			return nil
		}
		var begin [4]byte
		if _, err := io.ReadFull(b.conn, begin[:]); err != nil {
			return err
		}
		if n := binary.BigEndian.Uint32(begin[:]); n != 0 {
			return fmt.Errorf("%w: %d", errUnasked, n)
		}
		if err := b.skipCommand(0); errors.Is(err, errWrongAnswer) {
			return fmt.Errorf("%w: zeros", errUnasked)
		} else if err != nil {
			return err
		}
	}
}

// skipCommand reads what follows the four zero bytes that a command begins with. What the old platform wants of the
// device is not passed on: it has one master. If nothing follows, the zeros were an answer.
func (b *bearer) skipCommand(want int) error {
	zeros := time.Now().Add(min(zeroPatience, b.mirror.patience/2))
	if zeros.After(b.until) {
		zeros = b.until
	}
	if err := b.readBy(zeros); err != nil {
		return err
	}
	var size [4]byte
	if n, err := io.ReadFull(b.conn, size[:]); err != nil {
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && zeros.Before(b.until) && b.ctx.Err() == nil {
			return fmt.Errorf("%w: 0 of %d records", errWrongAnswer, want)
		}
		return err
	}
	length := int64(binary.BigEndian.Uint32(size[:]))
	if length > maxCommand {
		return fmt.Errorf("%w: what is neither an answer nor a command", errWrongAnswer)
	}
	if err := b.readBy(b.until); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, b.conn, length+4); err != nil { // and the CRC
		return err
	}
	b.mirror.metrics.commands.Inc()
	return b.ctx.Err()
}
