package simulate

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// utterance is something that a device will say beside its records.
type utterance struct {
	due   time.Time
	kind  kind
	frame []byte // of an answer
}

// kind is what an utterance is.
type kind int

const (
	response kind = iota
	copied        // of a response that has been sent
	nack
	message // of the device's own accord; its frame is made when it is sent
)

// plan adds what the device will say, in the order in which it is due.
func (d *device) plan(u utterance) {
	i := len(d.speech)
	for i > 0 && d.speech[i-1].due.After(u.due) {
		i--
	}
	d.speech = slices.Insert(d.speech, i, u)
}

// answering reports whether a command's answer is due at some time.
func (d *device) answering() bool {
	return slices.ContainsFunc(d.speech, func(u utterance) bool { return u.kind == response || u.kind == nack })
}

// sooner returns the deadline, or when the next utterance is due, if that is before it. A zero deadline is never.
func (d *device) sooner(deadline time.Time) time.Time {
	if len(d.speech) > 0 && (deadline.IsZero() || d.speech[0].due.Before(deadline)) {
		return d.speech[0].due
	}
	return deadline
}

// speak says what is due.
func (d *device) speak(l *link) error {
	for len(d.speech) > 0 {
		now, u := time.Now(), d.speech[0]
		if u.due.After(now) {
			return nil
		}
		if u.kind == message {
			m := d.ownMessage(now)
			u.frame = messageFrame(m.codec, m.Message)
			d.said.payloads = append(d.said.payloads, m.Payload)
		}
		if err := l.send(u.frame, now); err != nil {
			return err
		}
		d.speech = slices.Delete(d.speech, 0, 1)
		switch u.kind {
		case response:
			d.shard.count(commandsAnswered, 1)
		case copied:
			d.shard.count(answersCopied, 1)
		case nack:
			d.shard.count(commandsNacked, 1)
		case message:
			d.shard.count(messagesSent, 1)
			d.planMessage(now)
		}
	}
	return nil
}

// forget is the end of a connection: some of the answers that were not given yet will be on the next one, the others never.
func (d *device) forget() {
	d.said.forget()
	d.speech = slices.DeleteFunc(d.speech, func(u utterance) bool {
		return u.kind == copied || u.kind != message && !d.happens(d.fleet.options.CommandCarry)
	})
}

// ownMessages are the utterances that survive a restart of the device.
func (d *device) ownMessages() []utterance {
	return slices.DeleteFunc(d.speech, func(u utterance) bool { return u.kind != message })
}

// planMessage plans the device's next message of its own accord, half to one and a half times the mean interval after
// the one before.
func (d *device) planMessage(before time.Time) {
	if rate := d.fleet.options.Messages; rate > 0 {
		mean := time.Duration(float64(time.Minute) / rate)
		jitter := time.Duration(below(d.faults.Uint64(), 1000))
		d.plan(utterance{due: before.Add(mean/2 + mean/1000*jitter), kind: message})
	}
}

// typeSerial is the message type in the vendor's example of Codec 15.
const typeSerial = 0x0B

// ownMessage makes a message that answers nothing and cannot be taken for an answer: data of the serial port in Codec 15,
// or a camera's offer of a picture in Codec 12. A plain Codec 12 response without a command, which real serial
// ports send too, would look exactly like an answer, and no ledger could tell who is wrong.
func (d *device) ownMessage(now time.Time) ownMessage {
	noise := d.faults.Uint64()
	d.said.count++
	if noise&1 == 0 {
		return ownMessage{teltonika.Codec15, teltonika.Message{
			Type: typeSerial, Timestamp: uint32(now.Unix()), IMEI: d.imei,
			Payload: fmt.Appendf(nil, "tank %d l, %d\r\n", noise>>8%1000, d.said.count),
		}}
	}
	const offer, size = 3, 1 << 15
	picture := binary.BigEndian.AppendUint32([]byte{offer}, uint32(d.said.count))
	return ownMessage{teltonika.Codec12, teltonika.Message{
		Type: teltonika.TypeCamera, Payload: binary.BigEndian.AppendUint32(picture, size),
	}}
}

type ownMessage struct {
	codec teltonika.Codec
	teltonika.Message
}
