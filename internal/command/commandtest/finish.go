package commandtest

import (
	"fmt"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

var finishCases = []testCase{
	{"sent", finishSent},
	{"queued", finishQueued},
	{"only once", finishOnce},
	{"the quarantine ends", finishQuarantine},
	{"not sent", finishNotSent},
	{"lost", finishLost},
	{"one final state, sent", func(t *testing.T, b Backend) { race(t, b, true) }},
	{"one final state, queued", func(t *testing.T, b Backend) { race(t, b, false) }},
}

// finishSent is told another time than the store's clock says, which counts.
func finishSent(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	e := n.begun(t, c, patient)
	n.submit(t, next)
	e = n.finish(t, e.Finished(command.TimedOut, "no answer in time", time.Now().Add(-2*time.Hour)), patient)
	if e.State != command.TimedOut || e.Reason != "no answer in time" || e.FinishedAt.Before(e.SentAt) ||
		e.Instance != "a" || e.Attempts != 1 {
		t.Errorf("finish returns %+v", e)
	}
	if kept := n.wantFinal(t, c.ID, command.TimedOut); kept.Reason != e.Reason ||
		!sameTime(kept.FinishedAt, e.FinishedAt) || !sameTime(kept.SentAt, e.SentAt) {
		t.Errorf("finish says\n%+v, lookup\n%+v", e, kept)
	}
	n.wantWait(t, next.ID, 0, patient.Quarantine)
}

// finishQueued needs no lease: nothing was sent.
func finishQueued(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	n.submit(t, c)
	e := n.finish(t, n.lookup(t, c.ID).Finished(command.Failed, "denied", time.Now()), patient)
	if e.State != command.Failed || e.Reason != "denied" || e.Instance != "a" {
		t.Errorf("finish returns %+v", e)
	}
	n.wantFinal(t, c.ID, command.Failed)
	n.wantNotToBeSent(t, c.ID, command.Failed)
	n.begun(t, next, patient)
}

// finishOnce has the first one win.
func finishOnce(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	sent := n.begun(t, c, patient)
	first := n.finish(t, sent.Finished(command.Failed, "first", time.Now()), patient)
	second := n.finish(t, sent.Finished(command.TimedOut, "second", time.Now().Add(time.Second)), patient)
	if err := sameResult(second, first); err != nil || second.Reason != "first" {
		t.Errorf("the second finish: %v", err)
	}
	n.wantMatch(t, answer(deviceA, "third"), patient, command.MatchLate, c.ID)
	if e := n.wantFinal(t, c.ID, command.Failed); e.Reason != "first" {
		t.Errorf("the reason is %q", e.Reason)
	}
}

func finishQuarantine(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	e := n.begun(t, c, patient)
	n.submit(t, next)
	n.finish(t, e.Finished(command.TimedOut, "no answer", time.Now()), hasty)
	n.wantGrantSoon(t, next.ID)
}

// finishNotSent has a command end that was begun, and of which nothing was sent: no answer to it can come.
func finishNotSent(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	e := n.begun(t, c, patient)
	n.submit(t, next)
	e.Attempts--
	e = n.finish(t, e.Finished(command.Failed, "condition not met", time.Now()), patient)
	if e.State != command.Failed || e.Attempts != 0 || !e.SentAt.IsZero() || !e.Deadline.IsZero() {
		t.Errorf("finish returns %+v", e)
	}
	if kept := n.wantFinal(t, c.ID, command.Failed); kept.Attempts != 0 || !kept.SentAt.IsZero() {
		t.Errorf("lookup says %+v", kept)
	}
	n.wantNotToBeSent(t, c.ID, command.Failed)
	n.grant(t, next.ID, patient)
}

// finishLost has a command that the store does not know, or not any more.
func finishLost(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	lost := command.Entry{Command: c, State: command.Sent, Attempts: 1, SentAt: time.Now(),
		Deadline: time.Now().Add(c.Timeout), Instance: "a"}
	e := n.finish(t, lost.Finished(command.TimedOut, "no answer", time.Now()), patient)
	if e.State != command.TimedOut || e.Reason != "no answer" {
		t.Errorf("finish returns %+v", e)
	}
	again := n.finish(t, lost.Finished(command.Failed, "again", time.Now()), patient)
	if again.State != command.TimedOut {
		t.Errorf("the second finish returns %+v", again)
	}
	kept := n.wantFinal(t, c.ID, command.TimedOut)
	if err := sameCommand(kept.Command, c); err != nil {
		t.Error(err)
	}
	if _, created, err := n.Submit(t.Context(), c); err != nil || created {
		t.Errorf("submit of a finished command: created = %v, %v", created, err)
	}
}

// race has everybody finish the same command at once, in different ways.
func race(t *testing.T, b Backend, sent bool) {
	n := start(t, b, "a")
	for range 5 {
		c := newCommand(deviceA)
		n.submit(t, c)
		if sent {
			n.grant(t, c.ID, hasty)
		}
		before := n.lookup(t, c.ID)
		saw := make([]command.Entry, 16)
		atOnce(len(saw), func(i int) { saw[i] = end(t, n, before, i) })
		final := n.wantFinal(t, c.ID, n.lookup(t, c.ID).State)
		for i, e := range saw {
			if e.ID != "" && e.State.Final() { // Settle and Cancel may find that it is not theirs to end
				if err := sameResult(e, final); err != nil {
					t.Errorf("contender %d: %v", i, err)
				}
			}
		}
		for _, contender := range []int{2, 3} {
			if saw[contender].ID != final.ID || !saw[contender].State.Final() {
				t.Errorf("finish returned without a final state: %+v", saw[contender])
			}
		}
		if !sent && final.State == command.Answered || sent && final.State == command.Cancelled {
			t.Errorf("sent = %v, and it is %s", sent, final.State)
		}
	}
}

// end tries to end the command in the way of the contender of this number, with no wait after it.
func end(t *testing.T, n *node, e command.Entry, contender int) command.Entry {
	var err error
	switch contender % 4 {
	case 0:
		_, e, err = n.Settle(t.Context(), answer(e.IMEI, "yes"), command.Timeouts{})
	case 1:
		e, err = n.Cancel(t.Context(), e.ID)
	case 2:
		e, err = n.Finish(t.Context(), e.Finished(command.TimedOut, fmt.Sprint("contender ", contender), time.Now()),
			command.Timeouts{})
	case 3:
		e, err = n.Finish(t.Context(), e.Finished(command.Failed, fmt.Sprint("contender ", contender), time.Now()),
			command.Timeouts{})
	}
	if err != nil {
		t.Errorf("contender %d: %v", contender, err)
	}
	return e
}
