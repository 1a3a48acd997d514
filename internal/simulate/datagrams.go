package simulate

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Sizes of the UDP channel in bytes, and what a device remembers of it.
const (
	maxDatagram    = 1300   // that a device sends
	datagramHeader = 8 + 15 // with the IMEI
	transmissions  = 64     // whose late answers can be checked
	receiveBuffer  = 64     // more than any answer, so that a longer one is seen to be wrong
	maxBody        = maxDatagram - datagramHeader
	datagramType   = 1 // of all that devices send ("Teltonika data protocol", the part on UDP)
)

// datagrams is a device's UDP channel. It outlives its socket. Each transmission has a packet id of its own; those of
// the same frame share the AVL packet id. So an answer says which transmission it is for, and is checked against that.
type datagrams struct {
	device   *device
	conn     net.Conn
	network  network
	sent     uint64 // transmissions
	packetID uint16 // of the latest
	frames   uint32 // the latest's number; its lowest byte is the AVL packet id
	recent   [transmissions]transmission
	datagram []byte
	received [receiveBuffer]byte
}

// transmission is one sending of a frame.
type transmission struct {
	at      time.Duration // since the run's start
	frame   uint32
	records int
}

func newDatagrams(d *device) *datagrams {
	noise := d.faults.Uint64()
	return &datagrams{device: d, network: newNetwork(d), packetID: uint16(noise), frames: uint32(noise >> 16 & 0xFF)}
}

// open does nothing: there is no login.
func (c *datagrams) open() error { return nil }

func (c *datagrams) transmit(now time.Time) error {
	d := c.device
	if d.frame.sent == 1 {
		c.frames++
	}
	c.sent++
	c.packetID++
	c.recent[c.packetID%transmissions] = transmission{now.Sub(d.fleet.meter.start), c.frames, d.frame.count}
	var err error
	c.datagram, err = teltonika.Datagram{
		PacketID: c.packetID, Type: datagramType, AVLPacketID: byte(c.frames), IMEI: d.imei, Body: d.frame.body(),
	}.Append(c.datagram[:0])
	if err != nil {
		return err
	}
	d.shard.count(bytesSent, len(c.datagram))
	return c.send(c.datagram, now)
}

// send hands a datagram to the network.
func (c *datagrams) send(b []byte, now time.Time) error {
	if !c.network.perfect {
		c.network.carry(&c.network.out, b, now)
		return c.sendDue(now)
	}
	_, err := c.conn.Write(b)
	return err
}

// sendDue sends what the network has kept until now.
func (c *datagrams) sendDue(now time.Time) error {
	for b := c.network.out.take(now); b != nil; b = c.network.out.take(now) {
		if _, err := c.conn.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// awaitACK takes the answer to any transmission of the frame.
func (c *datagrams) awaitACK(sent time.Time) (time.Time, error) {
	deadline := sent.Add(c.device.fleet.options.ResponseTimeout)
	for {
		b, err := c.receive(deadline, never)
		if err != nil {
			return sent, err
		}
		t, err := c.check(b)
		switch {
		case err != nil:
			return sent, err
		case t.frame == c.frames && t.records > 0:
			c.device.failures = 0
			return c.device.fleet.meter.start.Add(t.at), nil
		}
		c.device.shard.count(answersLate, 1)
	}
}

// never is for a read that ends with its deadline or with the socket.
func never() bool { return false }

// wait takes answers that come late, and does not end with them.
func (c *datagrams) wait(deadline time.Time, stopped func() bool) error {
	for {
		b, err := c.receive(deadline, stopped)
		switch {
		case errors.Is(err, errNoAnswer):
			return nil
		case err != nil:
			return err
		}
		if _, err := c.check(b); err != nil {
			return err
		}
		c.device.shard.count(answersLate, 1)
	}
}

// receive returns the next datagram, valid until the next call. When the deadline has passed, or stopped tells so, the
// error is errNoAnswer.
func (c *datagrams) receive(deadline time.Time, stopped func() bool) ([]byte, error) {
	for {
		now := time.Now()
		if err := c.sendDue(now); err != nil {
			return nil, err
		}
		if b := c.network.in.take(now); b != nil {
			return b, nil
		}
		if !deadline.IsZero() && !now.Before(deadline) {
			return nil, errNoAnswer
		}
		if err := c.conn.SetReadDeadline(c.network.sooner(deadline)); err != nil {
			return nil, err
		}
		if stopped() {
			return nil, errNoAnswer
		}
		n, err := c.conn.Read(c.received[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Something is due, or wake was called.
		case err != nil:
			return nil, err
		case c.network.perfect:
			return c.received[:n], nil
		default:
			c.network.carry(&c.network.in, c.received[:n], time.Now())
		}
	}
}

// check compares an answer with the transmission that it names, and returns that. One that is forgotten comes
// without records.
func (c *datagrams) check(b []byte) (transmission, error) {
	a, err := teltonika.ParseAnswer(b)
	if err != nil {
		return transmission{}, &wrongAnswer{fmt.Sprintf("answer % x: %v", b, err)}
	}
	ago := c.packetID - a.PacketID
	switch {
	case uint64(ago) >= c.sent:
		return transmission{}, &wrongAnswer{fmt.Sprintf("answer % x: packet id %#04x was never sent", b, a.PacketID)}
	case b[4] != datagramType:
		return transmission{}, &wrongAnswer{fmt.Sprintf("answer % x: packet type %d, expected %d", b, b[4], datagramType)}
	case ago >= transmissions:
		return transmission{}, nil
	}
	t := c.recent[a.PacketID%transmissions]
	if a.AVLPacketID != byte(t.frame) || a.Accepted != t.records {
		return transmission{}, &wrongAnswer{fmt.Sprintf("answer % x: AVL packet %d of %d records answered as %d of %d",
			b, byte(t.frame), t.records, a.AVLPacketID, a.Accepted)}
	}
	return t, nil
}

// attend does nothing: no commands are known that come as datagrams.
func (c *datagrams) attend() error { return nil }

func (c *datagrams) keepAlive() error {
	return c.send([]byte{teltonika.KeepAlive}, time.Now())
}

// hangUp does nothing: nobody is told, and answers to copies may still be on their way.
func (c *datagrams) hangUp() error { return nil }
