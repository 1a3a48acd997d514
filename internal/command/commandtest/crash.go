package commandtest

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

var crashCases = []testCase{
	{"handed out again", crashQueued},
	{"sent ends as delivery unknown", crashSent},
	{"sent is not sent again", crashNotAgain},
	{"sent and answered", crashAnswered},
	{"idempotent is sent again", crashIdempotent},
	{"idempotent is answered twice", crashAnsweredTwice},
	{"idempotent and expired", crashExpired},
	{"idempotent, sent again and withdrawn", crashWithdrawn},
	{"stopped as well", stoppedSent},
}

func crashQueued(t *testing.T, b Backend) {
	first := start(t, b, "a")
	first.connect(deviceA)
	commands := newCommands(deviceA, 4)
	first.submit(t, commands...)
	first.wantOrder(t, deviceA, ids(commands))
	first.crash(t)
	n := start(t, b, "a")
	for _, c := range commands {
		n.wantState(t, c.ID, command.Queued)
	}
	n.connect(deviceA)
	n.wantOrder(t, deviceA, ids(commands))
	n.grant(t, commands[0].ID, patient)
}

func crashSent(t *testing.T, b Backend) {
	first := start(t, b, "a")
	c := newCommand(deviceA)
	c.Timeout = command.MinTimeout
	sent := first.begun(t, c, hasty)
	first.crash(t)
	n := start(t, b, "a")
	e := n.wantEnd(t, c.ID, command.Failed)
	if e.Reason != command.ReasonDeliveryUnknown || !sameTime(e.SentAt, sent.SentAt) || e.FinishedAt.Before(e.SentAt) ||
		e.Instance != "a" {
		t.Errorf("left by a crash: %+v", e)
	}
	n.wantTold(t, c.ID)
	next := newCommand(deviceA)
	n.submit(t, next)
	n.wantGrantSoon(t, next.ID)
}

// crashNotAgain tries everything to have a command sent twice.
func crashNotAgain(t *testing.T, b Backend) {
	first := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	first.connect(deviceA)
	first.submit(t, c, next)
	first.wantOrder(t, deviceA, []string{c.ID, next.ID})
	first.grant(t, c.ID, patient)
	first.crash(t)
	n := start(t, b, "a")
	n.connect(deviceA)
	n.wantReceived(t, next.ID)
	n.wantNotToBeSent(t, c.ID, command.Sent, command.Failed)
	n.wantWait(t, next.ID, 0, patient.Send+c.Timeout+patient.Quarantine+slack)
	if e := n.lookup(t, c.ID); e.Attempts != 1 {
		t.Errorf("%d attempts", e.Attempts)
	}
	if got, taken := n.Received(c.ID); taken {
		t.Errorf("taken: %+v", got)
	}
}

// crashAnswered has the answer come before the end, by the device's next connection.
func crashAnswered(t *testing.T, b Backend) {
	first := start(t, b, "a")
	c := newCommand(deviceA)
	sent := first.begun(t, c, patient)
	first.crash(t)
	n := start(t, b, "a")
	n.connect(deviceA)
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, c.ID)
	if e := n.wantFinal(t, c.ID, command.Answered); string(e.Response) != "yes" || !sameTime(e.SentAt, sent.SentAt) {
		t.Errorf("answered after a crash: %+v", e)
	}
}

// idempotentAgain leaves an idempotent command behind that is sent, and begins it again.
func idempotentAgain(t *testing.T, b Backend) (n *node, again command.Entry) {
	t.Helper()
	first := start(t, b, "a")
	c := newCommand(deviceA)
	c.Idempotent = true
	sent := first.begun(t, c, patient)
	first.crash(t)
	n = start(t, b, "a")
	n.connect(deviceA)
	e := n.wantReceived(t, c.ID)
	if e.Attempts != 1 || e.State.Final() {
		t.Errorf("taken again: %+v", e)
	}
	again = n.grant(t, c.ID, patient)
	if again.Attempts != 2 || !sameTime(again.SentAt, sent.SentAt) {
		t.Errorf("begun again: %+v", again)
	}
	return n, again
}

func crashIdempotent(t *testing.T, b Backend) {
	n, e := idempotentAgain(t, b)
	n.wantNotToBeSent(t, e.ID, command.Sent)
	other := newCommand(deviceA)
	n.submit(t, other)
	n.wantWait(t, other.ID, 0, time.Hour)
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, e.ID)
	if e := n.wantFinal(t, e.ID, command.Answered); e.Attempts != 2 {
		t.Errorf("answered at the second attempt: %+v", e)
	}
}

// crashAnsweredTwice has both attempts be answered, one after the other, with no gap asked for.
func crashAnsweredTwice(t *testing.T, b Backend) {
	n, e := idempotentAgain(t, b)
	noGap := patient
	noGap.Gap = 0
	n.wantMatch(t, answer(deviceA, "yes"), noGap, command.MatchAnswer, e.ID)
	other := newCommand(deviceA)
	n.submit(t, other)
	n.wantWait(t, other.ID, 0, patient.Quarantine)
	n.wantMatch(t, answer(deviceA, "yes again"), noGap, command.MatchLate, e.ID)
	if e := n.wantFinal(t, e.ID, command.Answered); string(e.Response) != "yes" {
		t.Errorf("the second answer changed the result: %+v", e)
	}
}

// crashExpired has the command expire before it can be sent again. It may have been executed all the same.
func crashExpired(t *testing.T, b Backend) {
	first := start(t, b, "a")
	c := expiresSoon(t, deviceA, func(c command.Command) bool {
		c.Idempotent, c.Timeout = true, command.MinTimeout
		first.submit(t, c)
		lease := first.begin(t, c.ID, hasty)
		if !lease.Granted && !lease.Entry.State.Final() { // a slow disk, and the sweep
			t.Fatalf("begin: %+v", lease)
		}
		return lease.Granted
	})
	first.crash(t)
	n := start(t, b, "a")
	if e := n.wantEnd(t, c.ID, command.Failed); e.Reason != command.ReasonDeliveryUnknown || e.Attempts != 1 {
		t.Errorf("expired after it was sent: %+v", e)
	}
	n.wantNotToBeSent(t, c.ID, command.Failed)
}

// crashWithdrawn has a second attempt that did not reach the device. The first one may still be answered.
func crashWithdrawn(t *testing.T, b Backend) {
	n, e := idempotentAgain(t, b)
	n.withdraw(t, e.ID)
	if again := n.grant(t, e.ID, patient); again.Attempts != 2 {
		t.Errorf("begun after it was withdrawn: %+v", again)
	}
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, e.ID)
	n.wantFinal(t, e.ID, command.Answered)
}

// stoppedSent ends the process in order, which does not tell whether the command was sent either.
func stoppedSent(t *testing.T, b Backend) {
	first := start(t, b, "a")
	c := newCommand(deviceA)
	c.Timeout = command.MinTimeout
	first.begun(t, c, hasty)
	first.stop(t)
	n := start(t, b, "a")
	if e := n.wantEnd(t, c.ID, command.Failed); e.Reason != command.ReasonDeliveryUnknown {
		t.Errorf("left when the process ended: %+v", e)
	}
}
