package redisstore

import (
	"strconv"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestConditionOfAForeignSender goes with the command from stream to stream, and an answer still belongs to it.
func TestConditionOfAForeignSender(t *testing.T) {
	r := testkit.StartRedis(t)
	b := start(t, r, "b")
	b.connect(deviceB)
	wantHolder(t, r, deviceB, "b")
	r.Do("XADD", "commands:inbox", "*", "id", "careful", "imei", deviceB, "payload", "setdigout 1", "codec",
		"14 if speed<5, age<=2m")
	e := b.wantReceived(t, "careful")
	if e.OnlyIf.String() != "speed<5,age<=120s" || e.Codec != teltonika.Codec14 {
		t.Errorf("taken: codec %v if %v", e.Codec, e.OnlyIf)
	}
	b.grant(t, "careful", patient)
	m := &command.Message{IMEI: deviceB, Codec: teltonika.Codec14, Type: teltonika.TypeResponse, Named: deviceB,
		Payload: []byte("DOUTS are set")}
	if match, e, err := b.Settle(t.Context(), m, patient); match != command.MatchAnswer || err != nil ||
		e.State != command.Answered {
		t.Errorf("%s, %s, %v", match, e.State, err)
	}
}

// TestMalformedCondition has a condition that cannot be read be no command, and never one without a condition.
func TestMalformedCondition(t *testing.T) {
	for _, codec := range []string{"12 if", "12 if ", "12 if speed", "12 if age<=60s", "13 if speed<5", "12if speed<5",
		"12 if speed<5 if speed<9", "12 IF speed<5", "12 if speed<5 or speed>9"} {
		in := parse("imei", deviceA, "payload", "x", "codec", codec)
		if !mentions(in.err, "codec") {
			t.Errorf("codec %q is read as %v if %v", codec, in.Codec, in.OnlyIf)
		}
	}
}

// TestEarlierVersionSendsNothing: one that knows no conditions reads the field as a number, which it is not, and finds
// no codec to write the command in.
func TestEarlierVersionSendsNothing(t *testing.T) {
	c := command.Command{ID: "x", IMEI: deviceA, Codec: teltonika.Codec12, Payload: []byte("setdigout 1"),
		OnlyIf: condition.Read("speed<5")}
	field := codecField(&c)
	n, err := strconv.ParseInt(field, 10, 64)
	if err == nil || n != 0 {
		t.Fatalf("%q is the number %d", field, n)
	}
	old := command.Command{ID: "x", IMEI: deviceA, Codec: teltonika.Codec(n), Payload: c.Payload}
	if frame, err := old.Frame(); err == nil {
		t.Errorf("it sends %x", frame)
	}
	if back := (fields{"codec": field}); back.codec() != c.Codec || back.onlyIf().String() != c.OnlyIf.String() {
		t.Errorf("read back: codec %v if %v", back.codec(), back.onlyIf())
	}
}
