package teltonikasession

import (
	"errors"
	"time"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// notAcknowledged stands for the number of records of a datagram that is not answered.
const notAcknowledged = -1

// largeDatagram is how large a datagram has to be in bytes for its documents to be too large for any engine.
const largeDatagram = 2 << 10

// pendingDatagram is a datagram that is answered when it is stored.
type pendingDatagram struct {
	*Adapter
	source
	packet ingest.Packet // without its bytes
	bytes  []byte        // of a large one, and of one that a tap shows
	known  bool
	id     uint16 // the packet's, echoed
	avlID  byte   // the AVL packet's, echoed
	frame  *publish.Frame
}

// Settle implements ingest.Pending: it waits until the datagram is stored, and answers it.
func (o *pendingDatagram) Settle() {
	outcome, err := o.Publisher.Wait(o.frame)
	if errors.Is(err, engine.ErrTooLarge) && o.bytes != nil {
		outcome, err = o.keep(err)
	}
	o.end(outcome, err)
}

// keep stores the datagram as a dead letter, so that its device goes on.
func (o *pendingDatagram) keep(cause error) (publish.Outcome, error) {
	d, err := teltonika.ParseDatagram(o.bytes)
	if err != nil {
		return publish.Outcome{}, err
	}
	w := o.frames.Get().(*frameContext)
	defer o.putBack(w)
	w.source = o.source
	w.hold(o.bytes, d.Body, d.BodyOffset())
	o.toDeadLetter(w, o.classify(&w.source, cause))
	outcome, err := o.store(w)
	o.source, w.items = w.source, 0 // o counts them
	o.first = nil
	return outcome, err
}

// end counts the datagram and answers it if everything in it is stored.
func (o *pendingDatagram) end(outcome publish.Outcome, err error) {
	acknowledged := o.items
	stored := o.settle(&o.source, outcome, err)
	if stored && o.deadLetter == "" {
		o.stats.frame(o.Codec, "ok")
	}
	o.refuse(unforeseen) // what has no other fate
	if !stored || !o.Codec.IsAVL() || !o.answer(acknowledged) {
		acknowledged = notAcknowledged
	}
	o.show(acknowledged, err)
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
	o.device.HeardFrom(o.packet.From,
		devices.Frame{Received: o.Received, Codec: o.Codec.String(), Acknowledged: acknowledged})
	if o.datagrams.devices.see(&o.source) {
		o.Logger.Info("device seen by udp", "imei", o.DeviceID, "remote", o.packet.From.String(), "known", o.known)
	}
}
