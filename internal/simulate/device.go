package simulate

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
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
	ctx, cancel := context.WithTimeout(d.fleet.aborting, d.fleet.options.ResponseTimeout)
	defer cancel()
	conn, err := d.fleet.dial(ctx, d.number)
	if err != nil {
		d.shard.count(connectFailures, 1)
		return d.fleet.failed(err)
	}
	defer conn.Close()
	l := &link{conn: conn, timeout: d.fleet.options.ResponseTimeout}
	defer context.AfterFunc(d.fleet.aborting, func() { conn.Close() })()
	defer context.AfterFunc(d.fleet.stopping, l.wake)()
	if err := l.login(d.login); err != nil {
		return d.notLoggedIn(err)
	}
	d.failures, d.refusals = 0, 0
	d.shard.count(connections, 1)
	d.shard.count(connected, 1)
	defer d.shard.count(connected, -1)
	return d.converse(l)
}

// broken counts what ended an idle link, if anything did.
func (d *device) broken(err error) error {
	if err == nil {
		return nil
	}
	var wrong *wrongAnswer
	if errors.As(err, &wrong) {
		d.shard.count(wrongAnswers, 1)
	}
	return d.fleet.failed(err)
}

func (d *device) notLoggedIn(err error) error {
	var wrong *wrongAnswer
	switch {
	case errors.Is(err, errRefused):
		d.shard.count(loginsRefused, 1)
	case errors.As(err, &wrong):
		d.shard.count(wrongAnswers, 1)
	default:
		d.shard.count(connectFailures, 1)
	}
	return d.fleet.failed(err)
}

// converse sends frames until the device has finished or the link ends.
func (d *device) converse(l *link) error {
	for {
		if d.frame.count == 0 {
			if d.finished() {
				d.broken(l.farewell())
				return nil
			}
			if !d.nextFrame() {
				if err := d.rest(l); err != nil {
					return d.broken(err)
				}
				continue
			}
		}
		if err := d.deliver(l); err != nil {
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
	d.frame.build(&d.model, d.identity, positions, reversed, d.fleet.acknowledged != nil)
	return true
}

// rest waits until the next record is due, sending keep-alives.
func (d *device) rest(l *link) error {
	due, scheduled := d.journal.due()
	deadline := time.Time{}
	if scheduled {
		deadline = d.fleet.meter.start.Add(due)
	}
	if every := d.fleet.options.KeepAlive; every > 0 {
		if ping := time.Now().Add(every); deadline.IsZero() || ping.Before(deadline) {
			if err := l.wait(ping, d.fleet.stopped); err != nil || d.fleet.stopped() {
				return err
			}
			d.shard.count(keepAlives, 1)
			return l.keepAlive()
		}
	}
	return l.wait(deadline, d.fleet.stopped)
}

// deliver sends the frame and waits for its ACK.
func (d *device) deliver(l *link) error {
	sent := time.Now()
	d.shard.sent(&d.frame, sent.Sub(d.fleet.meter.start))
	d.shard.count(bytesSent, len(d.frame.bytes))
	d.frame.sent++
	err := l.send(d.frame.bytes, sent)
	if p := d.fleet.options.LoseACK; err == nil && p > 0 && d.happens(p) {
		d.shard.count(interrupted, 1)
		return errDisrupted
	}
	if err == nil {
		err = l.awaitACK(d.frame.count, sent)
	}
	if err != nil {
		return d.notAcknowledged(err)
	}
	received := time.Now()
	d.shard.acknowledged(&d.frame, received.Sub(d.fleet.meter.start), received.Sub(sent))
	if err := d.writeAcknowledged(); err != nil {
		return err
	}
	d.frame.count = 0
	return nil
}

func (d *device) notAcknowledged(err error) error {
	var wrong *wrongAnswer
	switch {
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
	if pause := d.journal.gather(&d.vehicle, burst); pause > 0 {
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
