package teltonikasession

import (
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// notAcknowledged stands for the number of records of a datagram that is not answered.
const notAcknowledged = -1

// pendingDatagram is a datagram that is answered when it is stored. Its bytes are gone.
type pendingDatagram struct {
	*Adapter
	source
	packet ingest.Packet
	known  bool
	id     uint16 // the packet's, echoed
	avlID  byte   // the AVL packet's, echoed
	frame  *publish.Frame
}

// Settle implements ingest.Pending: it waits until the datagram is stored, and answers it.
func (o *pendingDatagram) Settle() { o.end(o.Publisher.Wait(o.frame)) }

// end counts the datagram and answers it if everything in it is stored.
func (o *pendingDatagram) end(outcome publish.Outcome, err error) {
	acknowledged := o.items
	stored := o.settle(&o.source, outcome, err)
	if stored && o.deadLetter == "" {
		o.stats.frame(o.Codec, "ok")
	}
	if !stored || !o.Codec.IsAVL() || !o.answer(acknowledged) {
		acknowledged = notAcknowledged
	}
	o.see(acknowledged)
}

// answer acknowledges so many records. The shell counts it if it cannot be sent.
func (o *pendingDatagram) answer(records int) bool {
	var b [teltonika.AnswerSize]byte
	d := teltonika.Datagram{PacketID: o.id, AVLPacketID: o.avlID}
	if err := o.packet.Answer(d.AppendAnswer(b[:0], records)); err != nil {
		return false
	}
	o.stats.ackLatency.Observe(time.Since(o.Received).Seconds())
	return true
}

// see lists the device.
func (o *pendingDatagram) see(acknowledged int) {
	if o.datagrams.devices.see(o, acknowledged) {
		o.Logger.Info("device seen by udp", "imei", o.DeviceID, "remote", o.packet.From.String(), "known", o.known)
	}
}
