// Package pipeline takes a Teltonika packet from its bytes to the publisher: decode, encode, submit. The sessions, the
// datagrams and the replay of dead letters all use it. They differ in how they wait, and in what they answer.
//
// A packet brings items of three kinds: records, messages, or itself as a dead letter.
package pipeline

import (
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// ReasonTimestamp is the reason of a dead letter of which only some records are missing: those beyond the year 9999.
const ReasonTimestamp = "timestamp"

// Packet is a frame or datagram at hand. One goroutine uses it for one after the other, and nothing is allocated once
// it is warm.
type Packet struct {
	Raw bool // adds each record's bytes to its document

	// Recall says that the records may be stored already by another process, and Came since when the device has been here;
	// see publish.Frame. Hold takes both back.
	Recall bool
	Came   time.Time

	// MayDeadLetter is asked before the packet becomes a dead letter: nil for one that DeadLetter asks for, else with the
	// error of a record. Its error ends Encode.
	MayDeadLetter func(err error) error

	// What Encode appends. Decode sets the first two, and the caller may leave some out. With a reason in DeadLetter the
	// packet itself is appended, and nothing else.
	Records    []teltonika.Record
	Messages   []teltonika.Message
	DeadLetter string

	Lost int // records that Encode could not encode; the dead letter has them

	origin  record.Origin
	bytes   []byte // as they came
	body    []byte // the data field: codec id to number of data 2
	offset  int    // of body in bytes
	avl     teltonika.AVLData
	other   teltonika.Messages
	encoder record.Encoder
}

// Hold says which packet is at hand, and what and where its data field is. Both have to stay as they are until Encode
// has returned.
func (p *Packet) Hold(o record.Origin, bytes, body []byte, offset int) {
	p.origin, p.bytes, p.body, p.offset = o, bytes, body, offset
	p.Records, p.Messages, p.DeadLetter, p.Lost = nil, nil, "", 0
	p.Recall, p.Came = false, time.Time{}
}

// Reset lets go of all memory.
func (p *Packet) Reset() { *p = Packet{Raw: p.Raw, MayDeadLetter: p.MayDeadLetter} }

// Claimed is how many records or messages the packet says that it has: its number of data 1.
func (p *Packet) Claimed() int { return int(p.body[1]) }

// Bytes is how long the whole packet is.
func (p *Packet) Bytes() int { return len(p.bytes) }

// First is how the packet begins: n bytes at most.
func (p *Packet) First(n int) []byte { return p.bytes[:min(n, len(p.bytes))] }

// Decode reads the records or messages. Offsets in its errors count from the packet's first byte.
func (p *Packet) Decode() error {
	if p.origin.Codec.IsMessage() {
		if err := p.other.Decode(p.body); err != nil {
			return teltonika.Shift(err, p.offset)
		}
		p.Messages = p.other.Messages
		return nil
	}
	if err := p.avl.Decode(p.body); err != nil {
		return teltonika.Shift(err, p.offset)
	}
	p.Records = p.avl.Records
	return nil
}

// Submit admits the items within quota, which may be nil, encodes them and hands them to the publisher. The frame is to
// be waited for. It is nil if there are no items.
func (p *Packet) Submit(to *publish.Publisher, quota *publish.Quota) (*publish.Frame, error) {
	n := p.items()
	if n == 0 {
		return nil, nil
	}
	f, err := to.Admit(quota, p.origin.DeviceID, n)
	if err != nil {
		return nil, err
	}
	encoded := false
	defer func() {
		if !encoded { // also if a bug makes Encode panic: the room belongs to all devices
			to.Discard(f)
		}
	}()
	if err := p.Encode(f); err != nil {
		return nil, err
	}
	encoded, f.Recall, f.Came = true, p.Recall, p.Came
	if err := to.Submit(f); err != nil {
		return nil, err
	}
	return f, nil
}

// items is the room of the queue that the packet takes: as a dead letter that of the records that it says it has.
func (p *Packet) items() int {
	switch {
	case p.DeadLetter == "":
		return len(p.Records) + len(p.Messages)
	case p.origin.Codec.IsAVL():
		return max(1, p.Claimed())
	}
	return 1
}

// Encode appends the items to f. A record that cannot be published makes the whole packet a dead letter beside the
// others.
func (p *Packet) Encode(f *publish.Frame) error {
	switch {
	case p.DeadLetter != "":
		return p.appendDeadLetter(f, p.DeadLetter, nil)
	case p.origin.Codec.IsMessage():
		f.Buffer, f.Messages = record.AppendMessages(f.Buffer, f.Messages, p.origin, p.Messages)
		return nil
	}
	return p.appendRecords(f)
}

func (p *Packet) appendRecords(f *publish.Frame) error {
	var lost error
	p.Lost = 0
	p.encoder.Raw = p.Raw
	p.encoder.Begin(p.origin)
	for i := range p.Records {
		var err error
		if f.Buffer, f.Records, err = p.encoder.Append(f.Buffer, f.Records, &p.Records[i]); err != nil {
			p.Lost++
			lost = err
		}
	}
	if lost == nil {
		return nil
	}
	return p.appendDeadLetter(f, ReasonTimestamp, lost)
}

// appendDeadLetter appends the packet, copied because it may be stored after the caller has given up.
func (p *Packet) appendDeadLetter(f *publish.Frame, reason string, lost error) error {
	if err := p.MayDeadLetter(lost); err != nil {
		return err
	}
	start := len(f.Buffer)
	f.Buffer = append(f.Buffer, p.bytes...)
	f.DeadLetters = append(f.DeadLetters, engine.DeadLetter{
		DeviceID: p.origin.DeviceID, Codec: p.origin.Codec.String(), Reason: reason, Received: p.origin.Received,
		Transport: p.origin.Transport, Frame: f.Buffer[start:len(f.Buffer):len(f.Buffer)],
	})
	return nil
}
