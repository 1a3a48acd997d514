package simulate

import (
	"net"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
)

// channel is what a device's frames go over, from its opening to its end: a stream or datagrams.
type channel interface {
	// open is what a device does before its first frame.
	open() error

	// transmit sends the device's frame, for the first time or again.
	transmit(now time.Time) error

	// awaitACK waits for the answer to the device's frame, which was last sent at the given time, and returns when
	// the transmission was sent that is answered.
	awaitACK(sent time.Time) (time.Time, error)

	// wait lets time pass until the deadline, or for ever if it is zero, until something is received, or until
	// stopped tells so when wake is called. It returns the reason if the channel ends meanwhile.
	wait(deadline time.Time, stopped func() bool) error

	// attend obeys what has been received while no frame waited for its ACK, and says what is due.
	attend() error

	// keepAlive sends the byte of an idle tracker ("network ping").
	keepAlive() error

	// hangUp is what a device does that leaves with nothing unacknowledged. An answer too many is an error.
	hangUp() error
}

// wake lets a channel that waits look again whether it is to go on. Any goroutine may call it.
func wake(conn net.Conn) {
	conn.SetReadDeadline(deadline.Past) // fails only if the connection has ended by itself
}

// newChannel makes a device's channel of a connection.
func (d *device) newChannel(conn net.Conn) channel {
	if d.datagrams != nil {
		d.datagrams.conn = conn
		d.datagrams.network.reset()
		return d.datagrams
	}
	return &stream{link: link{conn: conn, timeout: d.fleet.options.ResponseTimeout}, device: d}
}
