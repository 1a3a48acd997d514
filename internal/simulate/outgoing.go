package simulate

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// outgoing is a packet that a device will send beside its records.
type outgoing struct {
	due   time.Time
	kind  kind
	frame []byte // of an answer
}

// kind is what an outgoing packet is.
type kind int

const (
	response kind = iota
	copied        // of a response that has been sent
	nack
	message // of the device's own accord; its frame is made when it is sent
)

// schedule adds a packet, in the order in which they are due.
func (d *device) schedule(u outgoing) {
	i := len(d.outgoing)
	for i > 0 && d.outgoing[i-1].due.After(u.due) {
		i--
	}
	d.outgoing = slices.Insert(d.outgoing, i, u)
}

// answering reports whether a command's answer is due at some time.
func (d *device) answering() bool {
	return slices.ContainsFunc(d.outgoing, func(u outgoing) bool { return u.kind == response || u.kind == nack })
}

// sooner returns the deadline, or when the next packet is due, if that is before it. A zero deadline is never.
func (d *device) sooner(deadline time.Time) time.Time {
	if len(d.outgoing) > 0 && (deadline.IsZero() || d.outgoing[0].due.Before(deadline)) {
		return d.outgoing[0].due
	}
	return deadline
}

// sendDue sends what is due.
func (d *device) sendDue(l *link) error {
	for len(d.outgoing) > 0 {
		now, u := time.Now(), d.outgoing[0]
		if u.due.After(now) {
			return nil
		}
		if u.kind == message {
			m := d.ownMessage(now)
			u.frame = messageFrame(m.codec, m.Message)
			d.pending.payloads = append(d.pending.payloads, m.Payload)
		}
		if err := l.send(u.frame, now); err != nil {
			return err
		}
		d.outgoing = slices.Delete(d.outgoing, 0, 1)
		switch u.kind {
		case response:
			d.shard.count(commandsAnswered, 1)
		case copied:
			d.shard.count(answersCopied, 1)
		case nack:
			d.shard.count(commandsNacked, 1)
		case message:
			d.shard.count(messagesSent, 1)
			d.scheduleMessage(now)
		}
	}
	return nil
}

// forget is the end of a connection. Of the answers that it has not sent, the device sends some on the next one, and
// the others never.
func (d *device) forget() {
	d.pending.forget()
	d.outgoing = slices.DeleteFunc(d.outgoing, func(u outgoing) bool {
		return u.kind == copied || u.kind != message && !d.happens(d.fleet.options.CommandCarry)
	})
}

// ownMessages are the packets that survive a restart of the device.
func (d *device) ownMessages() []outgoing {
	return slices.DeleteFunc(d.outgoing, func(u outgoing) bool { return u.kind != message })
}

// scheduleMessage schedules the device's next message of its own accord, half to one and a half times the mean interval
// after the one before.
func (d *device) scheduleMessage(before time.Time) {
	if rate := d.fleet.options.Messages; rate > 0 {
		mean := time.Duration(float64(time.Minute) / rate)
		jitter := time.Duration(below(d.faults.Uint64(), 1000))
		d.schedule(outgoing{due: before.Add(mean/2 + mean/1000*jitter), kind: message})
	}
}

// typeSerial is the message type in the vendor's example of Codec 15.
const typeSerial = 0x0B

// ownMessage makes a message that answers nothing and cannot be taken for an answer: data of the serial port in Codec
// 15, or a camera's offer of a picture in Codec 12. A plain Codec 12 response without a command, which real serial
// ports send too, would look exactly like an answer, and no ledger could tell who is wrong.
func (d *device) ownMessage(now time.Time) ownMessage {
	noise := d.faults.Uint64()
	d.pending.count++
	if noise&1 == 0 {
		return ownMessage{teltonika.Codec15, teltonika.Message{
			Type: typeSerial, Timestamp: uint32(now.Unix()), IMEI: d.imei,
			Payload: fmt.Appendf(nil, "tank %d l, %d\r\n", noise>>8%1000, d.pending.count),
		}}
	}
	const offer, size = 3, 1 << 15
	picture := binary.BigEndian.AppendUint32([]byte{offer}, uint32(d.pending.count))
	return ownMessage{teltonika.Codec12, teltonika.Message{
		Type: teltonika.TypeCamera, Payload: binary.BigEndian.AppendUint32(picture, size),
	}}
}

type ownMessage struct {
	codec teltonika.Codec
	teltonika.Message
}
