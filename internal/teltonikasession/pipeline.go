package teltonikasession

import (
	"cmp"
	"context"
	"errors"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// What follows is the way of every packet, in a frame or a datagram: decode, submit, and settle once its outcome is
// known. Where a step fails, classify says what follows. Who waits, and what is answered, is in session.carry and
// Adapter.Take.

// maxPriority is the highest priority that the protocol defines: panic. In Codec 7, whose priority has two bits, 3 is
// an alarm.
const maxPriority = 2

// decode reads what the packet brings, and counts it as received.
func (a *Adapter) decode(w *frameContext) error {
	w.newest = nil
	err := w.packet.Decode()
	switch {
	case err != nil && w.Codec.IsMessage():
		return &messageError{err}
	case err != nil:
		return err
	}
	w.receive(len(w.packet.Records) + len(w.packet.Messages))
	w.newest = newest(w.packet.Records)
	w.last = asLast(w.newest, w.Received)
	return nil
}

// submit encodes the packet's items and hands them to the publisher. The frame is nil if there are none.
func (a *Adapter) submit(w *frameContext) (*publish.Frame, error) {
	f, err := w.packet.Submit(a.Publisher, w.quota)
	if w.lost = w.packet.Lost; w.lost > 0 && err == nil {
		a.Logger.Warn("timestamp cannot be published, frame kept as dead letter", "imei", w.DeviceID,
			"remote", remote{w.remote}, "transport", w.stats.transport, "records", w.lost,
			"first", firstBytes(w.packet.First(maxFirstBytes)),
			"cause", "a timestamp beyond the year 9999: the device's clock or the frame's making is wrong")
	}
	if err == nil && w.Codec != teltonika.Codec7 {
		for i := range w.packet.Records {
			if w.packet.Records[i].Priority > maxPriority {
				a.Metrics.priorityOutOfRange.Inc()
			}
		}
	}
	return f, err
}

// store submits the packet and waits for its outcome.
func (a *Adapter) store(w *frameContext) (publish.Outcome, error) {
	f, err := a.submit(w)
	if f == nil {
		return publish.Outcome{}, err
	}
	return a.Publisher.Wait(f)
}

// toDeadLetter has the packet submitted as a dead letter, and counts it as received: as many records as it says if it
// is to be acknowledged, and otherwise none.
func (a *Adapter) toDeadLetter(w *frameContext, d *disposition) {
	w.deadLetter, w.packet.DeadLetter = d.deadLetter, d.deadLetter
	switch {
	case w.items > 0: // it has been decoded, and counted
	case w.Codec.IsMessage():
		w.receive(1) // as far as anybody can tell
	case d.answer:
		w.receive(w.packet.Claimed())
	default:
		a.Metrics.unknownCodec(w.Codec)
	}
}

// settle counts what has become of the packet, and reports whether it is stored.
func (a *Adapter) settle(o *source, outcome publish.Outcome, err error) bool {
	switch {
	case err == nil:
		o.stored(outcome)
	case o.deadLetter != "":
		a.Logger.Error("dead letter not stored, frame not acknowledged", "imei", o.DeviceID, "remote", remote{o.remote},
			"transport", o.stats.transport, "error", err)
		o.failed(dispositionOf(err), err)
		o.refuse(cmp.Or(dispositionOf(err).refused, unforeseen))
	default:
		a.classify(o, err)
	}
	return err == nil
}

// classify counts and logs a packet that stopped at a step, and says what follows.
func (a *Adapter) classify(o *source, err error) *disposition {
	d := dispositionOf(err)
	o.failed(d, err)
	o.stats.frame(o.Codec, d.result)
	attrs := []any{"imei", o.DeviceID, "remote", remote{o.remote}, "transport", o.stats.transport, "error", err}
	if f := (*foreignError)(nil); errors.As(err, &f) {
		attrs = append(attrs, "cause", f.cause)
	}
	a.Logger.Log(context.Background(), d.level, d.log, attrs...)
	if d.refused != "" {
		o.refuse(d.refused)
	}
	return d
}
