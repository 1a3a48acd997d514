package testkit

import "git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

// Command is a command as a tracker gets it.
type Command struct {
	Codec teltonika.Codec // 12 or 14
	IMEI  string          // that it names, Codec 14 only
	Text  string
}

// ReadCommand reads a command from the server.
func (t *Tracker) ReadCommand() Command {
	t.tb.Helper()
	var m teltonika.Messages
	err := m.Decode(t.ReadFrame().Body())
	if err != nil {
		t.tb.Fatalf("tracker: command: %v", err)
	}
	if len(m.Messages) != 1 || m.Messages[0].Type != teltonika.TypeCommand {
		t.tb.Fatalf("tracker: not one command: %+v", m)
	}
	return Command{Codec: m.Codec, IMEI: m.Messages[0].IMEI, Text: string(m.Messages[0].Payload)}
}

// ExpectCommand reads a command, which has to be the text.
func (t *Tracker) ExpectCommand(text string) Command {
	t.tb.Helper()
	c := t.ReadCommand()
	if c.Text != text {
		t.tb.Fatalf("tracker: command is %q, expected %q", c.Text, text)
	}
	return c
}

// Answer sends the answer to a command, in the command's codec.
func (t *Tracker) Answer(c Command, text string) {
	t.tb.Helper()
	t.say(c, teltonika.TypeResponse, text)
}

// Nack refuses a Codec 14 command, as a device does that has another IMEI than the command names.
func (t *Tracker) Nack(c Command) {
	t.tb.Helper()
	t.say(c, teltonika.TypeNack, "")
}

func (t *Tracker) say(c Command, kind byte, text string) {
	t.tb.Helper()
	m := teltonika.Message{Type: kind, IMEI: c.IMEI, Payload: []byte(text)}
	packet := teltonika.Messages{Codec: c.Codec, Messages: []teltonika.Message{m}}
	frame, err := packet.AppendFrame(nil)
	if err != nil {
		t.tb.Fatalf("tracker: %v", err)
	}
	t.Send(frame)
}
