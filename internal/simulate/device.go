package simulate

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"time"
)

// device is one tracker: it records, connects, logs in, sends what it has and keeps it until the ACK.
type device struct {
	fleet    *fleet
	number   int
	imei     string
	login    []byte
	identity identity
	model    model
	vehicle  vehicle
	journal  journal
	frame    frame
	shard    *shard
	faults   rand.PCG // apart from the records' randomness: faults depend on timing, records must not
	failures int      // to connect, in a row
	refusals int      // of the login, in a row
	settled  bool     // nothing left to do until the run ends
	line     []byte   // of the list of acknowledged records

	datagrams *datagrams // nil = it sends over connections

	outgoing   []outgoing        // what it will send beside its records, in the order in which it is due
	pending    pendingMessages   // of its own accord, on this connection
	parameters map[string]string // that were set, by id
	restarting bool              // by a command: the connection ends now
}

// maxRefusals is how many times in a row a login is refused before the device stays away.
const maxRefusals = 8

// run is the device's life. It returns when the run ends and nothing of it is unacknowledged, or when
// the drain is over.
func (d *device) run() {
	defer d.settle()
	for !d.finished() {
		err := d.session()
		switch {
		case err == nil:
			return
		case errors.Is(err, errDisrupted):
		case errors.Is(err, errRefused):
			d.refusals++
			if d.refusals == maxRefusals {
				d.shard.count(givenUp, 1)
				return
			}
			d.retreat()
		default:
			d.retreat()
		}
	}
}

// finished reports whether the device may leave.
func (d *device) finished() bool {
	return d.fleet.aborted() || d.fleet.stopped() && d.frame.count == 0
}

// session is one connection from dialling to its end. Without an error the device has finished.
func (d *device) session() error {
	conn, err := d.connect()
	if err != nil {
		return d.notConnected(err)
	}
	defer conn.Close()
	c := d.newChannel(conn)
	defer context.AfterFunc(d.fleet.aborting, func() { conn.Close() })()
	defer context.AfterFunc(d.fleet.stopping, func() { wake(conn) })()
	if err := c.open(); err != nil {
		return d.notConnected(err)
	}
	d.shard.count(connections, 1)
	d.shard.count(connected, 1)
	defer d.shard.count(connected, -1)
	defer d.forget()
	d.restarting = false
	return d.converse(c)
}

// connect is apart from session, so that nothing of it takes memory while the connection lasts.
func (d *device) connect() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.fleet.aborting, d.fleet.options.ResponseTimeout)
	defer cancel()
	return d.fleet.dial(ctx, d.number)
}

// broken counts what ended an idle channel, if anything did.
func (d *device) broken(err error) error {
	if err == nil || errors.Is(err, errDisrupted) {
		return err
	}
	var wrong *wrongAnswer
	if errors.As(err, &wrong) {
		d.shard.count(wrongAnswers, 1)
	}
	return d.fleet.failed(err)
}

// notConnected counts why there is no connection, or none with a login.
func (d *device) notConnected(err error) error {
	var handshake *handshakeError
	var wrong *wrongAnswer
	switch {
	case errors.As(err, &handshake):
		d.shard.count(handshakeFailures, 1)
	case isAlert(err):
		d.shard.count(handshakeFailures, 1)
		err = &handshakeError{err}
	case errors.Is(err, errRefused):
		d.shard.count(loginsRefused, 1)
	case errors.As(err, &wrong):
		d.shard.count(wrongAnswers, 1)
	default:
		d.shard.count(connectFailures, 1)
	}
	return d.fleet.failed(err)
}

// converse sends frames until the device has finished or the channel ends.
func (d *device) converse(c channel) error {
	for {
		if d.frame.count == 0 {
			if d.finished() {
				d.broken(c.hangUp())
				return nil
			}
			if !d.nextFrame() {
				if err := d.rest(c); err != nil {
					return d.broken(err)
				}
				continue
			}
		}
		switch err := d.deliver(c); {
		case errors.Is(err, errNoAnswer) && d.datagrams != nil:
			continue // a datagram that is not answered is sent again
		case err != nil:
			return err
		}
		if p := d.fleet.options.Reconnect; p > 0 && d.happens(p) && !d.fleet.stopped() {
			d.leaveCoverage()
			return errDisrupted
		}
	}
}

// nextFrame makes a frame of what is recorded. It returns false if there is nothing.
func (d *device) nextFrame() bool {
	missed := d.journal.record(&d.vehicle, d.fleet.now())
	d.shard.count(notRecorded, missed)
	positions, reversed := d.journal.take()
	if len(positions) == 0 {
		if d.journal.complete() {
			d.settle()
		}
		return false
	}
	fits := d.frame.build(&d.model, d.identity, positions, reversed, d.fleet.acknowledged != nil)
	d.journal.giveBack(len(positions) - fits)
	return true
}

// rest waits until the next record is due, or there is something to receive or to send, sending keep-alives.
func (d *device) rest(c channel) error {
	until := time.Time{}
	if due, scheduled := d.journal.due(); scheduled {
		until = d.fleet.meter.start.Add(due)
	}
	until = d.sooner(until)
	every := d.fleet.options.KeepAlive
	ping := time.Now().Add(every)
	pinging := every > 0 && (until.IsZero() || ping.Before(until))
	if pinging {
		until = ping
	}
	if err := c.wait(until, d.fleet.stopped); err != nil || d.fleet.stopped() {
		return err
	}
	if pinging && !time.Now().Before(ping) {
		d.shard.count(keepAlives, 1)
		if err := c.keepAlive(); err != nil {
			return err
		}
	}
	return c.attend()
}

// deliver sends the frame and waits for its ACK.
func (d *device) deliver(c channel) error {
	sent := time.Now()
	d.shard.sent(&d.frame, sent.Sub(d.fleet.meter.start))
	d.frame.sent++
	d.pending.frameSent()
	err := c.transmit(sent)
	if p := d.fleet.options.LoseACK; err == nil && p > 0 && d.happens(p) {
		d.shard.count(interrupted, 1)
		return errDisrupted
	}
	if err == nil {
		sent, err = c.awaitACK(sent)
	}
	if err != nil {
		return d.notAcknowledged(err)
	}
	received := time.Now()
	d.shard.acknowledged(&d.frame, received.Sub(d.fleet.meter.start), received.Sub(sent))
	if err := errors.Join(d.writeAcknowledged(), d.writeConfirmed()); err != nil {
		return err
	}
	d.frame.count = 0
	return nil
}

func (d *device) notAcknowledged(err error) error {
	var wrong *wrongAnswer
	switch {
	case errors.Is(err, errDisrupted):
		d.shard.count(interrupted, 1)
		return err
	case errors.As(err, &wrong):
		d.shard.count(wrongAnswers, 1)
	case errors.Is(err, errNoAnswer):
		d.shard.count(noAnswer, 1)
	default:
		d.shard.count(interrupted, 1)
	}
	return d.fleet.failed(err)
}

// leaveCoverage is the gap before a planned reconnection: in the time of the Burst's records nothing is sent.
func (d *device) leaveCoverage() {
	burst := d.fleet.options.Burst
	if burst == 0 {
		return
	}
	if pause := d.journal.gather(&d.vehicle, burst, d.fleet.now()); pause > 0 {
		d.fleet.pause(pause, false)
	}
}

// retreat waits before the next try to connect, twice as long after each failure, and not all devices
// equally long.
func (d *device) retreat() {
	pause := d.fleet.options.Retry << min(d.failures, 3)
	d.failures++
	jitter := time.Duration(below(d.faults.Uint64(), 1000))
	d.fleet.pause(pause/2+pause*jitter/1000, d.frame.count > 0)
}

// happens draws whether an event of the given probability happens now.
func (d *device) happens(probability float64) bool {
	return float64(d.faults.Uint64()) < probability*math.MaxUint64
}

// settle tells the fleet, once, that this device has nothing left to send.
func (d *device) settle() {
	if !d.settled {
		d.settled = true
		d.fleet.settle()
	}
}
