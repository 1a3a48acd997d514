package commandtest

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

var settleCases = []testCase{
	{"answer", settleAnswer},
	{"answer of any bytes", settleBytes},
	{"forms", settleForms},
	{"nobody's", settleNobodys},
	{"again within the gap", settleAgain},
	{"the gap ends", settleGap},
	{"the gap ends, whatever else comes", settleGapOnce},
	{"late", settleLate},
	{"late ends the lease", settleLateEnds},
	{"after the quarantine", settleQuarantine},
	{"begun by an earlier run", settleEarlierRun},
	{"at once", settleAtOnce},
}

func settleAnswer(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	sent := n.begun(t, c, patient)
	e := n.wantMatch(t, answer(deviceA, "DOUT1:1"), patient, command.MatchAnswer, c.ID)
	if e.State != command.Answered || string(e.Response) != "DOUT1:1" || e.FinishedAt.IsZero() {
		t.Errorf("settle returns %+v", e)
	}
	e = n.wantFinal(t, c.ID, command.Answered)
	if err := sameCommand(e.Command, c); err != nil {
		t.Error(err)
	}
	if string(e.Response) != "DOUT1:1" || e.Instance != "a" || e.Attempts != 1 || !sameTime(e.SentAt, sent.SentAt) {
		t.Errorf("answered: %+v", e)
	}
}

func settleBytes(t *testing.T, b Backend) {
	n := start(t, b, "a")
	for _, response := range []string{
		"", " ", "6869", "a\r\n\t", "\x00\xff", "Žvėrynas", "25\xb0C and more\x00\x00", string(make([]byte, 60_000)),
	} {
		c := newCommand(deviceA)
		n.begun(t, c, hasty)
		p := patient
		p.Gap = 0
		n.wantMatch(t, answer(deviceA, response), p, command.MatchAnswer, c.ID)
		if e := n.wantFinal(t, c.ID, command.Answered); string(e.Response) != response {
			t.Errorf("response %q, want %q", e.Response, response)
		}
	}
}

// settleForms is the table of what answers what (Teltonika data protocol, Codec 12 to 15).
func settleForms(t *testing.T, b Backend) {
	n := start(t, b, "a")
	const response, nack = teltonika.TypeResponse, teltonika.TypeNack
	for _, form := range []struct {
		command, codec teltonika.Codec
		kind           byte
		named          string
		want           command.State // Sent: it is no answer
	}{
		{12, 12, response, "", command.Answered},
		{12, 13, response, "", command.Answered},
		{12, 14, response, deviceA, command.Sent},
		{12, 14, nack, deviceB, command.Sent},
		{12, 15, response, deviceA, command.Sent},
		{12, 12, nack, "", command.Sent},
		{12, 12, teltonika.TypeCommand, "", command.Sent},
		{12, 12, teltonika.TypeCamera, "", command.Sent},
		{14, 14, response, deviceA, command.Answered},
		{14, 14, nack, deviceB, command.Nacked},
		{14, 14, nack, deviceA, command.Nacked},
		{14, 14, response, deviceB, command.Sent},
		{14, 12, response, "", command.Sent},
		{14, 13, response, "", command.Sent},
		{14, 15, response, deviceA, command.Sent},
	} {
		c := newCommand(deviceA)
		c.Codec = form.command
		n.begun(t, c, patient)
		m := message(deviceA, form.codec, form.kind, form.named, "something")
		p := patient
		p.Gap, p.Quarantine = 0, 0
		if form.want == command.Sent {
			n.wantMatch(t, m, p, command.MatchNone, "")
			n.finish(t, n.wantState(t, c.ID, command.Sent).Finished(command.TimedOut, "no answer", time.Now()), p)
			continue
		}
		n.wantMatch(t, m, p, command.MatchAnswer, c.ID)
		if e := n.wantFinal(t, c.ID, form.want); (e.Reason == command.ReasonOtherDevice) != (form.want == command.Nacked) {
			t.Errorf("%s for the reason %q", e.State, e.Reason)
		}
	}
}

// settleNobodys has messages of devices that nothing was sent to.
func settleNobodys(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, other := newCommand(deviceA), newCommand(deviceB)
	n.submit(t, c, other)
	n.wantMatch(t, answer(deviceA, "of what?"), patient, command.MatchNone, "")
	n.grant(t, c.ID, patient)
	n.wantMatch(t, answer(deviceB, "of what?"), patient, command.MatchNone, "")
	n.wantState(t, c.ID, command.Sent)
	n.wantState(t, other.ID, command.Queued)
	wantResults(t, b)
}

func settleAgain(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	n.begun(t, c, patient)
	n.submit(t, next)
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, c.ID)
	for range 3 {
		if e := n.wantMatch(t, answer(deviceA, "yes again"), patient, command.MatchLate, c.ID); string(e.Response) != "yes" {
			t.Errorf("a late answer changed the result: %+v", e)
		}
		n.wantWait(t, next.ID, 0, patient.Gap)
	}
	if e := n.wantFinal(t, c.ID, command.Answered); string(e.Response) != "yes" {
		t.Errorf("a late answer changed the result: %+v", e)
	}
}

func settleGap(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	n.begun(t, c, patient)
	n.submit(t, next)
	short := patient
	short.Gap = hasty.Gap
	n.wantMatch(t, answer(deviceA, "yes"), short, command.MatchAnswer, c.ID)
	n.wantGrantSoon(t, next.ID)
	n.wantMatch(t, answer(deviceA, "me too"), patient, command.MatchAnswer, next.ID)
}

// settleGapOnce has a device that repeats its answer. That does not keep the next command waiting.
func settleGapOnce(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	n.begun(t, c, patient)
	n.submit(t, next)
	short := patient
	short.Gap = hasty.Gap
	n.wantMatch(t, answer(deviceA, "yes"), short, command.MatchAnswer, c.ID)
	n.settle(t, answer(deviceA, "yes again"), patient)
	n.settle(t, answer(deviceA, "yes again"), patient)
	n.wantGrantSoon(t, next.ID)
}

// settleLate has the answer come after the timeout, while it may still come.
func settleLate(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	e := n.begun(t, c, patient)
	n.submit(t, next)
	n.finish(t, e.Finished(command.TimedOut, "no answer", time.Now()), patient)
	n.wantWait(t, next.ID, 0, patient.Quarantine)
	if e := n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchLate, c.ID); e.State != command.TimedOut {
		t.Errorf("a late answer changed the result: %+v", e)
	}
	n.wantWait(t, next.ID, 0, patient.Gap)
	if e := n.wantFinal(t, c.ID, command.TimedOut); e.Response != nil {
		t.Errorf("a late answer changed the result: %+v", e)
	}
	n.wantState(t, next.ID, command.Queued)
}

func settleLateEnds(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	e := n.begun(t, c, patient)
	n.submit(t, next)
	n.finish(t, e.Finished(command.TimedOut, "no answer", time.Now()), patient)
	short := patient
	short.Gap = hasty.Gap
	n.wantMatch(t, answer(deviceA, "yes"), short, command.MatchLate, c.ID)
	n.wantGrantSoon(t, next.ID)
}

// settleQuarantine has the answer come when the lease has ended: nobody knows any more whose it is.
func settleQuarantine(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	e := n.begun(t, c, patient)
	n.submit(t, next)
	n.finish(t, e.Finished(command.TimedOut, "no answer", time.Now()), hasty)
	n.wantGrantSoon(t, next.ID)
	n.withdraw(t, next.ID)
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchNone, "")
	n.wantState(t, next.ID, command.Queued)
	n.wantFinal(t, c.ID, command.TimedOut)
}

// settleEarlierRun has the answer come to a store that has not sent the command.
func settleEarlierRun(t *testing.T, b Backend) {
	first := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	first.begun(t, c, patient)
	first.crash(t)
	n := start(t, b, "a")
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, c.ID)
	n.submit(t, next)
	n.wantWait(t, next.ID, 0, patient.Gap)
	n.wantMatch(t, answer(deviceA, "yes again"), patient, command.MatchLate, c.ID)
	n.wantFinal(t, c.ID, command.Answered)
}

// settleAtOnce has the same answer come many times at once.
func settleAtOnce(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	n.begun(t, c, patient)
	matches := make([]command.Match, 16)
	atOnce(len(matches), func(i int) {
		match, e, err := n.Settle(t.Context(), answer(deviceA, "yes"), patient)
		if err != nil || e.ID != c.ID {
			t.Errorf("settle: %v, %+v", err, e)
		}
		matches[i] = match
	})
	count := map[command.Match]int{}
	for _, m := range matches {
		count[m]++
	}
	if count[command.MatchAnswer] != 1 || count[command.MatchLate] != len(matches)-1 {
		t.Errorf("matches: %v", count)
	}
	n.wantFinal(t, c.ID, command.Answered)
}
