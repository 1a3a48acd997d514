package simulate

import (
	"errors"
	"fmt"
	"time"
)

// stream is a connection over TCP or TLS, with a login before the frames and commands between their ACKs.
type stream struct {
	link
	device *device
}

func (s *stream) open() error {
	if err := s.login(s.device.login); err != nil {
		return err
	}
	s.device.failures, s.device.refusals = 0, 0
	return nil
}

func (s *stream) transmit(now time.Time) error {
	b := s.device.frame.bytes
	s.device.shard.count(bytesSent, len(b))
	return s.send(b, now)
}

// awaitACK obeys commands, which may come before the answer, and says what is due.
func (s *stream) awaitACK(sent time.Time) (time.Time, error) {
	d, deadline := s.device, sent.Add(s.timeout)
	for {
		if err := d.sendDue(&s.link); err != nil {
			return sent, err
		}
		until := d.sooner(deadline)
		records, command, err := s.receive(until)
		switch {
		case errors.Is(err, errNoAnswer) && until.Before(deadline):
			// Something is due.
		case err != nil:
			return sent, err
		case command != nil:
			if err := d.obey(command); err != nil {
				return sent, err
			}
		case records != uint32(d.frame.count):
			return sent, &wrongAnswer{fmt.Sprintf("frame of %d records answered with %d", d.frame.count, records)}
		default:
			return sent, nil
		}
	}
}

// attend takes commands only: no frame waits for an ACK.
func (s *stream) attend() error {
	for s.held > 0 {
		records, command, err := s.receive(s.soon())
		switch {
		case errors.Is(err, errNoAnswer):
			return &wrongAnswer{fmt.Sprintf("% x and nothing more, without a frame to answer", s.buffer[:s.held])}
		case err != nil:
			return err
		case command == nil:
			return &wrongAnswer{fmt.Sprintf("ACK of %d records without a frame to answer", records)}
		}
		if err := s.device.obey(command); err != nil {
			return err
		}
	}
	return s.device.sendDue(&s.link)
}
