package testkit

import (
	"net"
	"testing"
	"testing/synctest"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// messageFrame is a message with the text.
func messageFrame(t *testing.T, codec teltonika.Codec, kind byte, imei, text string) []byte {
	t.Helper()
	m := teltonika.Message{Type: kind, IMEI: imei, Payload: []byte(text)}
	packet := teltonika.Messages{Codec: codec, Messages: []teltonika.Message{m}}
	frame, err := packet.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestTrackerObeys(t *testing.T) {
	const imei = "356307042441013"
	for _, c := range []struct {
		codec  teltonika.Codec
		kind   byte
		imei   string
		answer func(*Tracker, Command)
	}{
		{teltonika.Codec12, teltonika.TypeResponse, "", func(d *Tracker, c Command) { d.Answer(c, "done") }},
		{teltonika.Codec14, teltonika.TypeResponse, imei, func(d *Tracker, c Command) { d.Answer(c, "done") }},
		{teltonika.Codec14, teltonika.TypeNack, imei, (*Tracker).Nack},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			tracker, server := NewTracker(t, near), NewTracker(t, far)
			go server.Send(messageFrame(t, c.codec, teltonika.TypeCommand, c.imei, "getinfo"))
			got := tracker.ExpectCommand("getinfo")
			if got.Codec != c.codec || got.IMEI != c.imei {
				t.Errorf("got %+v", got)
			}
			go c.answer(tracker, got)
			var m teltonika.Messages
			err := m.Decode(server.ReadFrame().Body())
			if err != nil || m.Codec != c.codec || len(m.Messages) != 1 || m.Messages[0].Type != c.kind ||
				m.Messages[0].IMEI != c.imei {
				t.Errorf("answered with %+v, %v", m, err)
			}
		})
	}
}

func TestTrackerGetsNoCommand(t *testing.T) {
	for name, frame := range map[string][]byte{
		"another command": messageFrame(t, teltonika.Codec12, teltonika.TypeCommand, "", "getver"),
		"an answer":       messageFrame(t, teltonika.Codec12, teltonika.TypeResponse, "", "getinfo"),
		"records":         teltonika.AppendFrame(nil, []byte{0x8E, 0, 0}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				go far.Write(frame)
				if !fails(near, func(d *Tracker) { d.ExpectCommand("getinfo") }) {
					t.Error("the script passed, expected it to fail")
				}
				near.Close()
				far.Close()
			})
		})
	}
}
