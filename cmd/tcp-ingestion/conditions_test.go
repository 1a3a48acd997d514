package main

import (
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// drives has the device report that it drives at that speed, or did some time ago.
func drives(d *testkit.Tracker, speed uint16, ago time.Duration) {
	r := teltonika.Record{Timestamp: uint64(time.Now().Add(-ago).UnixMilli()), Latitude: 546674250, Longitude: 252560283,
		Satellites: 11, Speed: speed}
	r.AddNumber(239, teltonika.Group1, min(1, uint64(speed)))
	d.SendFrame(teltonika.Codec8E, r)
	d.ExpectACK(1)
}

// standing is true of a vehicle that stands, also on a machine that is slow.
const standing = "speed<5,ignition=off,age<=10m"

// onlyIf is asks with a condition.
func onlyIf(id, text, condition string) *admin.Request {
	r := asks(id, text)
	r.Confirm, r.OnlyIf = true, &condition
	return r
}

// TestConditionOfACommand: what the device says last decides, when the command goes out, wherever that is.
func TestConditionOfACommand(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	a, b := p.start("a"), p.start("b")
	d := a.connect(first)
	drives(d, 43, 0)
	a.order(first, onlyIf("moving", "setdigout 1", standing))
	if e := a.result(first, "moving", command.Failed); e.Attempts != 0 ||
		e.Reason != "condition not met: speed is 43, must be < 5" || !strings.HasPrefix(e.OnlyIf, "speed<5,") {
		t.Errorf("moving: %+v", e)
	}

	drives(d, 0, time.Hour) // kept by the device, and sent only now
	p.order("commands:inbox", "old", first, "setdigout 1", "confirm", "1", "codec", "12 if "+standing)
	const old = "condition not met: the last record is 1h0m"
	if r := p.response("old", command.Failed); !strings.HasPrefix(r["reason"], old) {
		t.Errorf("old: %v", r)
	}

	drives(d, 0, 0)
	sent := b.begin(t, first, "setdigout 1", "--confirm", "--only-if", standing)
	d.Answer(d.ExpectCommand("setdigout 1"), "DOUT1:1")
	sent.wantExit(exitOK)

	// It stands when the command is given, and drives when it is back, at another instance.
	d.Close()
	p.wantRegistered(first, "")
	a.order(first, onlyIf("elsewhere", "setdigout 1", standing))
	p.someTimeLater()
	d = testkit.Dial(t, b.devices)
	d.MustLogin(first)
	drives(d, 43, 0)
	r := p.response("elsewhere", command.Failed)
	if r["instance"] != "b" || !strings.Contains(r["reason"], "speed is 43") {
		t.Errorf("elsewhere: %v", r)
	}
	late := b.begin(t, first, "setdigout 1", "--confirm", "--only-if", standing)
	late.wantExit(exitNotMet)
	if !late.told.Has("it was not sent") {
		t.Errorf("says %s", late.told.String())
	}
	b.wantNothingMore(first, d)
}
