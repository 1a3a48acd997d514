package teltonikasession

import (
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// notAcknowledged stands for the number of records of a datagram that is not answered.
const notAcknowledged = -1

// owed is a datagram that is answered when it is stored. Its bytes are gone.
type owed struct {
	*Adapter
	origin
	packet   ingest.Packet
	known    bool
	id       uint16 // the packet's, echoed
	avlID    byte   // the AVL packet's, echoed
	records  int    // in it
	messages int    // in it
	dead     int    // of them that cannot be published
	verdict  *verdict
	frame    *publish.Frame
}

func newOwed(a *Adapter, p ingest.Packet, d *teltonika.Datagram, known bool) *owed {
	p.Data = nil // it is ours no longer than Take lasts
	return &owed{Adapter: a, packet: p, known: known, id: d.PacketID, avlID: d.AVLPacketID}
}

// Settle implements ingest.Pending: it waits until the datagram is stored, and answers it.
func (o *owed) Settle() { o.end(o.Publisher.Wait(o.frame)) }

// end counts the datagram and answers it if everything in it is stored.
func (o *owed) end(outcome publish.Outcome, err error) {
	acknowledged := o.records
	switch {
	case o.verdict != nil:
		if !o.buried(&o.origin, o.verdict, o.records, err) || !o.verdict.answer {
			acknowledged = notAcknowledged
		}
	case err != nil:
		v := o.judge(&o.origin, max(0, o.records), err)
		o.figures.messagesRefused(o.codec, v.refused, o.messages)
		acknowledged = notAcknowledged
	case o.records == notAcknowledged:
		o.figures.messagesStored(o.codec, outcome.Messages)
		o.figures.frame(o.codec, "ok")
	default:
		o.figures.stored(o.codec, outcome, o.dead)
		o.figures.frame(o.codec, "ok")
	}
	if acknowledged != notAcknowledged && !o.answer(acknowledged) {
		acknowledged = notAcknowledged
	}
	o.see(acknowledged)
}

// answer acknowledges so many records. The shell counts it if it cannot be sent.
func (o *owed) answer(records int) bool {
	var b [teltonika.AnswerSize]byte
	d := teltonika.Datagram{PacketID: o.id, AVLPacketID: o.avlID}
	if err := o.packet.Answer(d.AppendAnswer(b[:0], records)); err != nil {
		return false
	}
	o.figures.ackLatency.Observe(time.Since(o.received).Seconds())
	return true
}

// see lists the device.
func (o *owed) see(acknowledged int) {
	if o.datagrams.devices.see(o, acknowledged) {
		o.Logger.Info("device seen by udp", "imei", o.imei, "remote", o.packet.From.String(), "known", o.known)
	}
}
