package simulate

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// fate is what becomes of a command beside its execution.
type fate int

const (
	answeredSoon fate = iota
	notAnswered       // executed all the same
	answeredLate
	refused // Codec 14 only: as if it named another device, and not executed
	answeredTwice
)

// drawFate decides by the shares in the options.
func (d *device) drawFate() fate {
	o := d.fleet.options
	u := float64(d.faults.Uint64()) / math.MaxUint64
	for i, share := range [...]float64{o.CommandSilence, o.CommandLate, o.CommandNack, o.CommandTwice} {
		if u < share {
			return fate(i + 1)
		}
		u -= share
	}
	return answeredSoon
}

// obey executes the command in a frame, and plans the answer.
func (d *device) obey(frame teltonika.Frame) error {
	codec, command, err := commandIn(frame)
	if err != nil {
		return err
	}
	d.shard.count(commandsReceived, 1)
	if d.answering() {
		d.shard.count(commandsOverlapping, 1)
	}
	now, fate := time.Now(), d.drawFate()
	soon := now.Add(d.latency())
	if codec == teltonika.Codec14 && (command.IMEI != d.imei || fate == refused) {
		d.schedule(outgoing{soon, nack, d.answerFrame(codec, teltonika.TypeNack, "")})
		return nil
	}
	if err := d.writeExecuted(codec, command.Payload, now); err != nil {
		return err
	}
	text := d.execute(command.Payload)
	if d.restarting {
		d.outgoing = d.ownMessages()
		return errDisrupted
	}
	if text == "" || fate == notAnswered {
		return nil
	}
	answer := outgoing{soon, response, d.answerFrame(codec, teltonika.TypeResponse, text)}
	if fate == answeredLate {
		answer.due = now.Add(d.fleet.options.CommandLateBy)
	}
	d.schedule(answer)
	if fate == answeredTwice {
		d.schedule(outgoing{answer.due.Add(d.latency()), copied, answer.frame})
	}
	return nil
}

// commandIn returns the one command in a frame of the server. Anything else is a wrong answer.
func commandIn(frame teltonika.Frame) (teltonika.Codec, teltonika.Message, error) {
	var m teltonika.Messages
	err := m.Decode(frame.Body())
	switch {
	case err != nil:
	case m.Codec != teltonika.Codec12 && m.Codec != teltonika.Codec14:
		err = fmt.Errorf("codec %v is not one of commands", m.Codec)
	case len(m.Messages) != 1 || m.Messages[0].Type != teltonika.TypeCommand:
		err = fmt.Errorf("not one command")
	default:
		return m.Codec, m.Messages[0], nil
	}
	return 0, teltonika.Message{}, &wrongAnswer{fmt.Sprintf("frame % x: %v", frame, err)}
}

// answerFrame is an answer in the codec of its command.
func (d *device) answerFrame(codec teltonika.Codec, kind byte, text string) []byte {
	m := teltonika.Message{Type: kind, Payload: []byte(text)}
	if codec == teltonika.Codec14 {
		m.IMEI = d.imei
	}
	return messageFrame(codec, m)
}

func messageFrame(codec teltonika.Codec, m teltonika.Message) []byte {
	packet := teltonika.Messages{Codec: codec, Messages: []teltonika.Message{m}}
	frame, err := packet.AppendFrame(nil)
	if err != nil {
		panic(err) // an IMEI of 15 digits can be sent in every codec
	}
	return frame
}

// latency is how long the device takes for an answer.
func (d *device) latency() time.Duration {
	r := d.fleet.options.CommandLatency
	return r.Min + time.Duration(float64(d.faults.Uint64())/math.MaxUint64*float64(r.Max-r.Min))
}

// execution is a line of the list of executed commands.
type execution struct {
	IMEI       string    `json:"imei"`
	Codec      int       `json:"codec"`
	Command    string    `json:"command"` // as received
	Hex        bool      `json:"hex,omitempty"`
	ExecutedAt time.Time `json:"executed_at"`
}

// writeExecuted adds a command to the list before it is answered.
func (d *device) writeExecuted(codec teltonika.Codec, payload []byte, now time.Time) error {
	list := d.fleet.executed
	if list == nil {
		return nil
	}
	e := execution{IMEI: d.imei, Codec: int(codec), Command: string(payload), ExecutedAt: now.UTC()}
	for _, c := range payload {
		if c < ' ' || c > '~' {
			e.Command, e.Hex = hex.EncodeToString(payload), true
			break
		}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return d.fleet.note(list, append(line, '\n'))
}
