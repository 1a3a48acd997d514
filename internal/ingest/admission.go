package ingest

import (
	"errors"
	"net"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
)

// Who gets in when there is no room for all. The connections of proven devices may fill MaxConnections. Unproven ones
// have what is left, and go when a newcomer needs a place: so a newcomer is always let in, and a stranger's connections
// only ever take the place of strangers'.
//
// When all places are proven devices', a few newcomers more are let in for a moment. One of them may be a device that
// comes back before its old connection is known to be dead, or one that has proved itself earlier than others: it takes
// the place of one of them. See connSet.first.
const overflowReserve = 16

// OverflowReserve is how many connections more than the limit there may be for a moment: fewer where descriptors are
// few.
func OverflowReserve(maxConnections int) int { return min(overflowReserve, 1+maxConnections/128) }

var (
	errNotAdmitted = errors.New("too many connections without a login")
	errFull        = errors.New("all connections are proven devices'")
	errEnding      = errors.New("too many connections are ending")
	errCut         = errors.New("the server has given the connection up")
)

// admit holds the connection to what its client's address has done, of whom only the transport could tell.
func (c *Conn) admit(client net.Addr) error {
	if c.client != nil {
		return nil
	}
	switch c.server.limiter.admits(client, time.Now()) {
	case refused:
		c.server.options.Logger.Warn("too many connections without a login, connection closed", "remote", client.String())
		return &OpenError{Reason: ReasonRateLimited, Err: errNotAdmitted}
	case admittedHurried:
		c.hurried = true
	}
	c.server.mu.Lock() // under which others look at it
	defer c.server.mu.Unlock()
	c.client = client
	return nil
}

// What was cut off needs a moment to end, and has its descriptor until then.
const (
	endingPause = time.Millisecond
	endingTries = 10
)

// enter is add, after a moment if too many connections are ending.
func (s *Server) enter(c *Conn) (gone *Conn, err error) {
	for range endingTries {
		if gone, err = s.add(c); err != errEnding {
			break
		}
		time.Sleep(endingPause)
	}
	return gone, err
}

// add counts the new connection among the open ones, and cuts off the one that has to go for it, if one has to. It
// fails if the server is stopping, or too many that were cut off have not ended yet.
func (s *Server) add(c *Conn) (gone *Conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDraining() {
		return nil, ErrDraining
	}
	if most := s.options.MaxConnections; s.ending > 0 && len(s.conns)+s.ending > most+OverflowReserve(most) {
		return nil, errEnding
	}
	s.conns[c] = struct{}{}
	s.unproven[c] = struct{}{}
	s.sessions.Add(1)
	room := s.options.MaxConnections
	if proven := len(s.conns) - len(s.unproven); proven >= room {
		room += OverflowReserve(room)
		c.hurried = true
	}
	if len(s.conns) > room {
		gone = s.unproven.first(anyConn)
		s.cut(gone, ReasonCrowdedOut)
	}
	s.count()
	return gone, nil
}

// refusal is why a connection that did not get in is closed.
func refusal(err error) CloseReason {
	if err == errEnding {
		return ReasonCrowdedOut
	}
	return ReasonShutdown
}

// cut ends the connection from outside, without waiting for it: its session is woken, finishes the frame that it holds,
// and ends for the reason. It holds no place from now on. The lock is held.
func (s *Server) cut(c *Conn, reason CloseReason) {
	c.cutFor.CompareAndSwap(nil, &reason)
	s.leave(c)
	c.ending = true
	s.ending++
	if c.opened {
		c.SetReadDeadline(deadline.Past)
	} else {
		c.Conn.Close() // a handshake has deadlines of its own
	}
}

// leave takes the connection's place away, if it has one. The lock is held.
func (s *Server) leave(c *Conn) {
	if _, ok := s.conns[c]; !ok {
		return
	}
	delete(s.conns, c)
	delete(s.unproven, c)
	if c.device != "" {
		s.loggedIn--
	}
	s.count()
}

// count shows the figures. The lock is held.
func (s *Server) count() {
	s.options.Metrics.active.Set(float64(len(s.conns)))
	s.options.Metrics.unproven.Set(float64(len(s.unproven)))
}

// Prove notes that a frame of the connection's device is acknowledged: it is one without doubt, here and when it comes
// back. It is called once for a connection and device.
func (c *Conn) Prove() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.proof == noProof {
		s.proofs = s.proofs.next()
		c.proof = s.proofs
	}
	s.proven.remember(c.device, c.proof)
	delete(s.unproven, c)
	s.readmit(c)
	s.count()
}

// readmit has a connection stay that had to go while it held the frame that proves it, and another one go instead. The
// lock is held.
func (s *Server) readmit(c *Conn) {
	cut := c.cutFor.Load()
	if cut == nil || *cut != ReasonCrowdedOut || len(s.unproven) == 0 || s.devices[c.device] != c || s.isDraining() {
		return
	}
	s.cut(s.unproven.first(anyConn), ReasonCrowdedOut)
	c.ending = false
	s.ending--
	s.conns[c] = struct{}{}
	s.loggedIn++
	c.cutFor.Store(nil)
}
