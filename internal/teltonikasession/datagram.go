package teltonikasession

import (
	"bytes"
	"errors"
	"time"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// datagramParts says which part of the queue datagrams may take, one in so many. Anybody can send them under any name,
// so they must not take the room of the devices that are connected.
const datagramParts = 4

// What all datagrams together may bring, for as long as they come: whoever makes them up may have a name for each, so
// no quota of a device is a bound to what they fill the store with. The records are those of 100,000 devices that send
// one every 5 s; dead letters are rare among devices, and each holds a whole datagram.
var (
	datagramRecordRate     = limit.PerSecond(20_000, 100_000)
	datagramDeadLetterRate = limit.PerSecond(10, 1000)
)

// errDatagramRate: datagrams bring more records than datagramRecordRate. A later resend is taken.
var errDatagramRate = errors.New("too many records in datagrams")

// datagrams is what the adapter keeps for those who send datagrams. An IMEI in a datagram is only a claim, so what it
// does is held neither against the device that is connected under it nor to its credit: the dead letters and what those
// on no list may store are counted apart, and there is no login backoff.
type datagrams struct {
	quota       *publish.Quota
	records     limit.Bucket
	recordRate  limit.Rate
	unlisted    unlisted
	deadLetters *deadLetterQuota
	devices     *datagramDevices
	knocks      limit.Bucket // see datagramKnockRate
}

func newDatagrams(o *Options) *datagrams {
	d := &datagrams{quota: o.Publisher.Quota(datagramParts), recordRate: datagramRecordRate, unlisted: newUnlisted(o),
		deadLetters: newDeadLetterQuota(deadLetterBytes, o.MaxFrameBytes), devices: newDatagramDevices(o.IdleTimeout)}
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
		a.malformed(&p, received, err)
		return nil
	}
	if !d.LengthOK() {
		a.Metrics.lengthMismatch.Inc()
	}
	known := a.Authority.Known(d.IMEI)
	if !known && a.StrictAuth {
		a.Metrics.udp.handshake("rejected", known)
		a.showRejectedDatagram(&p, d.IMEI)
		a.Logger.Warn("datagram refused, device is unknown", "imei", d.IMEI, "remote", p.From.String())
		a.Devices.Rejected(d.IMEI, devices.Login{
			At: devices.Time{Time: received}, Reason: devices.LoginNotListed, Address: p.From.String(),
		})
		return nil
	}
	w := a.frames.Get().(*frameContext)
	defer a.putBack(w)
	from := a.Devices.HoldClaimed(d.IMEI)
	defer from.Release()
	o := &pendingDatagram{Adapter: a, packet: p, known: known, id: d.PacketID, avlID: d.AVLPacketID}
	o.packet.Data = nil // it is ours no longer than Take lasts
	if len(p.Data) > largeDatagram || a.watches(d.IMEI, p.From) {
		o.bytes = bytes.Clone(p.Data)
	}
	w.source = source{
		Origin: record.Origin{
			DeviceID: d.IMEI, Received: received, Transport: engine.UDP, Meaning: a.meaningOf(from),
		},
		device: from, onList: known && a.Listed,
		remote: &o.packet.From, network: p.From.Addr(), stats: a.Metrics.udp, deadLetters: a.datagrams.deadLetters,
		quota: a.datagrams.quota,
	}
	w.hold(p.Data, d.Body, d.BodyOffset())
	o.frame, err = a.submitDatagram(w)
	o.source, w.items = w.source, 0 // from now on o counts them
	o.first = nil
	switch {
	case o.frame != nil:
		return o
	case err == nil: // there is nothing to store
		o.end(publish.Outcome{}, nil)
	default:
		o.show(notAcknowledged, err)
		o.see(notAcknowledged)
	}
	return nil
}

// datagramKnockRate is how many datagrams a second are looked at that are no device's: of a flood some are enough.
var datagramKnockRate = limit.PerSecond(100, 100)

// malformed takes down who has sent what is no datagram of a device.
func (a *Adapter) malformed(p *ingest.Packet, received time.Time, err error) {
	a.Metrics.udp.handshake("malformed", false)
	if !a.datagrams.knocks.Take(1, received, datagramKnockRate) {
		a.Logger.Warn("datagram malformed", "remote", p.From.String(), "error", err)
		return
	}
	who, _ := a.Strangers.Knock(stranger.Knock{Door: stranger.DoorUDP, Address: p.From.String(),
		Cause: stranger.CauseNoDatagram, First: p.Data})
	a.Logger.Warn("datagram malformed", "remote", who.Address, "first", firstBytes(who.First), "cause", who.Text,
		"error", err)
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

// submitDatagram takes the datagram through the steps of a frame up to its submission, and submits it as a dead letter
// if the disposition says so. Nobody vouches for who sent it, so its messages answer no command, and of what is not
// answered nothing is kept. A sender who is gone cannot be made to wait: messages that are not stored in time are lost,
// and counted.
func (a *Adapter) submitDatagram(w *frameContext) (*publish.Frame, error) {
	f, err := a.submitItems(w)
	if err == nil {
		return f, nil
	}
	switch d := a.classify(&w.source, err); {
	case d.answer, as[*messageError](err):
		a.toDeadLetter(w, d)
		if f, err = a.submit(w); err != nil {
			a.settle(&w.source, publish.Outcome{}, err)
		}
	case d.deadLetter != "":
		a.Metrics.unknownCodec(w.Codec)
	}
	return f, err
}

// submitItems submits what can be decoded.
func (a *Adapter) submitItems(w *frameContext) (*publish.Frame, error) {
	if err := a.decode(w); err != nil {
		return nil, err
	}
	if d := a.datagrams; !d.records.Take(w.items, w.Received, d.recordRate) {
		return nil, errDatagramRate
	}
	if u := &a.datagrams.unlisted; u.spendBulk(w, w.Received) > 0 || !u.spend(&w.source, w.items, w.Received) {
		return nil, errUnlistedRate
	}
	w.packet.Recall = true // each one may have gone to another instance before
	return a.submit(w)
}
