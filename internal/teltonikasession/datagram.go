package teltonikasession

import (
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// datagramParts says which part of the queue datagrams may take, one in so many. Anybody can send them under any name, so
// they must not take the room of the devices that are connected.
const datagramParts = 4

// What all datagrams together may bring, for as long as they come: whoever makes them up may have a name for each, so no
// allowance of a device is a bound to what they fill the store with. The records are those of 100,000 devices that send
// one every 5 s; dead letters are rare among devices, and each holds a whole datagram.
var (
	datagramRecordRate     = limit.PerSecond(20_000, 100_000)
	datagramDeadLetterRate = limit.PerSecond(10, 1000)
)

// errDatagramRate: datagrams bring more records than datagramRecordRate. A later resend is taken.
var errDatagramRate = errors.New("too many records in datagrams")

// datagrams is what the adapter keeps for those who send datagrams. An IMEI in a datagram is only a claim, so what it
// does is held neither against the device that is connected under it nor to its credit: the dead letters are counted
// apart, and there is no login backoff.
type datagrams struct {
	share       *publish.Share
	records     limit.Bucket
	recordRate  limit.Rate
	deadLetters *allowance
	devices     *datagramDevices
}

func newDatagrams(p *publish.Publisher, idle time.Duration, maxFrameBytes int) *datagrams {
	d := &datagrams{share: p.Share(datagramParts), recordRate: datagramRecordRate, deadLetters: newAllowance(deadLetterBytes, maxFrameBytes),
		devices: newDatagramDevices(idle)}
	d.deadLetters.number = new(limit.Bucket)
	return d
}

// Take implements ingest.PacketAdapter: it takes a datagram through the steps of a frame until it is on its way to the
// engine. The CRC apart, which a datagram does not have: it is left to UDP's checksum.
func (a *Adapter) Take(p ingest.Packet) ingest.Pending {
	received := time.Now()
	if skipped(p.Data) {
		return nil
	}
	d, err := teltonika.ParseDatagram(p.Data)
	if err != nil {
		a.Metrics.udp.handshake("malformed", false)
		a.Logger.Warn("datagram malformed", "remote", p.From.String(), "error", err)
		return nil
	}
	if !d.LengthOK() {
		a.Metrics.lengthMismatch.Inc()
	}
	known := a.Authority.Known(d.IMEI)
	if !known && a.StrictAuth {
		a.Metrics.udp.handshake("rejected", known)
		a.Logger.Warn("datagram refused, device is unknown", "imei", d.IMEI, "remote", p.From.String())
		return nil
	}
	w := a.work.Get().(*work)
	defer a.putBack(w) // also if a bug makes a step panic
	o := newOwed(a, p, &d, known)
	w.origin = origin{imei: d.IMEI, claimedOnly: true, onList: known && a.Listed, remote: &o.packet.From,
		network: p.From.Addr(), received: received, figures: a.Metrics.udp,
		deadLetters: a.datagrams.deadLetters, share: a.datagrams.share}
	w.hold(p.Data, d.Body, d.BodyOffset())
	if !a.start(w, o) {
		return nil
	}
	return o
}

// skipped reports whether the datagram is nothing but keep-alives.
func skipped(b []byte) bool {
	for _, c := range b {
		if c != teltonika.KeepAlive {
			return false
		}
	}
	return len(b) > 0
}

// start takes the datagram up to its submission, as session.carry and session.bury do with a frame. It reports whether
// something is still owed.
func (a *Adapter) start(w *work, o *owed) bool {
	err := a.submit(w, o)
	if err != nil {
		v := a.judge(&w.origin, w.data.Count, err)
		switch {
		case v.answer, as[*messageError](err):
			err = a.submitDeadLetter(w, o, v)
		case v.deadLetter != "": // of what is not answered nothing is kept: anybody can send it
			a.condemn(w, v)
		}
	}
	o.origin, o.dead = w.origin, w.dead
	if o.frame == nil && err == nil { // nothing to store
		o.end(publish.Outcome{}, nil)
	} else if o.frame == nil {
		o.see(notAcknowledged)
	}
	return o.frame != nil
}

// submit decodes and encodes the datagram and hands it to the publisher.
func (a *Adapter) submit(w *work, o *owed) error {
	w.dead, w.data.Count = 0, 0
	if w.codec.IsMessage() {
		o.records = notAcknowledged
		return a.submitMessages(w, o)
	}
	if err := w.data.Decode(w.body); err != nil {
		return teltonika.Shift(err, w.offset)
	}
	o.records = w.data.Count
	w.figures.received(w.codec, o.records)
	w.unaccounted = o.records
	if o.records == 0 {
		return nil
	}
	f, err := a.admitDatagram(w, o.records, a.fill)
	if err == nil {
		err = a.Publisher.Submit(f)
	}
	w.unaccounted = 0
	if err != nil {
		return err
	}
	o.frame = f
	return nil
}

// submitMessages hands the messages of the datagram to the publisher. Nobody vouches for who sent them, so they
// answer no command. A sender who is gone cannot be made to wait: what is not stored in time is counted.
func (a *Adapter) submitMessages(w *work, o *owed) error {
	packet, err := decodeMessages(w)
	if err != nil || len(packet.Messages) == 0 {
		return err
	}
	o.messages = len(packet.Messages)
	w.figures.messagesReceived(w.codec, o.messages)
	f, err := a.admitDatagram(w, o.messages, fillMessages(packet.Messages))
	if err == nil {
		err = a.Publisher.Submit(f)
	}
	if err != nil {
		w.figures.messagesRefused(w.codec, verdictOn(err).refused, o.messages)
		return err
	}
	o.frame = f
	return nil
}

// admitDatagram is admit for the decoded items of a datagram.
func (a *Adapter) admitDatagram(w *work, n int, fill func(*publish.Frame, *work) error) (*publish.Frame, error) {
	if d := a.datagrams; !d.records.Take(n, w.received, d.recordRate) {
		return nil, errDatagramRate
	}
	if !a.unlisted.take(&w.origin, n, w.received) {
		return nil, errUnlistedRate
	}
	return a.admit(w, n, fill)
}

// submitDeadLetter hands the datagram to the publisher as a dead letter.
func (a *Adapter) submitDeadLetter(w *work, o *owed, v *verdict) error {
	o.verdict, o.records = v, a.condemn(w, v)
	f, err := a.admit(w, max(1, o.records), v.bury(w))
	if err == nil {
		err = a.Publisher.Submit(f)
	}
	if err != nil {
		a.buried(&w.origin, v, o.records, err)
		return err
	}
	o.frame = f
	return nil
}
