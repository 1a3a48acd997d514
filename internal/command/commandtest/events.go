package commandtest

import (
	"bytes"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

var eventCases = []testCase{
	{"published", published},
	{"long", longEvents},
}

func published(t *testing.T, b Backend) {
	n := start(t, b, "a")
	want := []command.Event{
		{Message: *answer(deviceA, "too late"), Kind: command.MatchLate, Command: "command-7"},
		{Message: *answer(deviceA, "too late at 25\xb0C\x00"), Kind: command.MatchLate, Command: "command-8"},
		{Message: *message(deviceB, teltonika.Codec12, teltonika.TypeCamera, "", "\x00\xff\xd8"), Kind: command.MatchNone},
		{Message: *message(deviceB, teltonika.Codec15, 0x0B, deviceB, "RS232 \r\n"), Kind: command.MatchNone},
		{Message: *message(deviceA, teltonika.Codec13, teltonika.TypeResponse, "", ""), Kind: command.MatchNone},
	}
	want[3].Sent, want[4].Sent = 1_795_345_200, 1
	for i := range want {
		if err := n.Publish(t.Context(), &want[i]); err != nil {
			t.Fatal(err)
		}
	}
	got := b.Events(t)
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		same := g.IMEI == w.IMEI && g.Codec == w.Codec && g.Type == w.Type && g.Named == w.Named && g.Sent == w.Sent &&
			bytes.Equal(g.Payload, w.Payload) && g.Size == len(w.Payload) && sameTime(g.Received, w.Received) &&
			g.Kind == w.Kind && g.Command == w.Command
		if !same {
			t.Errorf("event %d is\n%+v, want\n%+v", i, g, w)
		}
	}
}

// longEvents are kept up to a length.
func longEvents(t *testing.T, b Backend) {
	n := start(t, b, "a")
	for _, size := range []int{command.MaxEventPayload, command.MaxEventPayload + 1, 60_000} {
		m := message(deviceA, teltonika.Codec12, teltonika.TypeCamera, "",
			string(bytes.Repeat([]byte{0xFF, 0xD8}, size/2+1)[:size]))
		if err := n.Publish(t.Context(), &command.Event{Message: *m, Kind: command.MatchNone}); err != nil {
			t.Fatal(err)
		}
		all := b.Events(t)
		got := all[len(all)-1]
		if got.Size != size || !bytes.Equal(got.Payload, m.Payload[:command.MaxEventPayload]) || len(m.Payload) != size {
			t.Errorf("of %d bytes %d are kept, and %d are said to have been there", size, len(got.Payload), got.Size)
		}
	}
}
