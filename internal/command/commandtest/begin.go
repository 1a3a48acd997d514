package commandtest

import (
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

var beginCases = []testCase{
	{"granted", beginGranted},
	{"not twice", beginTwice},
	{"one command of a device at a time", beginOthers},
	{"expired", beginExpired},
	{"at once", beginAtOnce},
	{"withdrawn", withdrawn},
	{"withdrawn by another run", withdrawnByOther},
	{"withdrawn too late", withdrawnLate},
}

// slack is for what a store adds to a deadline.
const slack = 5 * time.Second

func beginGranted(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	before := time.Now()
	e := n.begun(t, c, patient)
	if kept := n.lookup(t, c.ID); kept.State != e.State || kept.Attempts != 1 || !sameTime(kept.SentAt, e.SentAt) ||
		!sameTime(kept.Deadline, e.Deadline) {
		t.Errorf("begin says\n%+v, lookup\n%+v", e, kept)
	}
	if err := sameCommand(e.Command, c); err != nil {
		t.Error(err)
	}
	if took := e.SentAt.Sub(before); e.Attempts != 1 || took < -time.Second || took > limit {
		t.Errorf("attempt %d at %v after begin", e.Attempts, took)
	}
	if wait, want := e.Deadline.Sub(e.SentAt), patient.Send+c.Timeout; wait != want {
		t.Errorf("the answer is awaited for %v, want %v", wait, want)
	}
	wantResults(t, b)
}

// beginTwice is for every command, an idempotent one too, as long as its instance lives.
func beginTwice(t *testing.T, b Backend) {
	n := start(t, b, "a")
	again := newCommand(deviceA)
	again.Idempotent = true
	for _, c := range []command.Command{newCommand(deviceB), again} {
		n.begun(t, c, patient)
		n.wantNotToBeSent(t, c.ID, command.Sent)
		if e := n.lookup(t, c.ID); e.Attempts != 1 {
			t.Errorf("%d attempts", e.Attempts)
		}
	}
}

func beginOthers(t *testing.T, b Backend) {
	n := start(t, b, "a")
	first, second, other := newCommand(deviceA), newCommand(deviceA), newCommand(deviceB)
	n.submit(t, second)
	n.begun(t, first, patient)
	n.wantWait(t, second.ID, 0, patient.Send+first.Timeout+patient.Quarantine+slack)
	n.wantState(t, second.ID, command.Queued)
	n.begun(t, other, patient)
}

// beginExpired gives the command its end, which comes from the store itself perhaps.
func beginExpired(t *testing.T, b Backend) {
	n := open(t, b, "a")
	c := expired(deviceA)
	n.submit(t, c)
	n.wantNotToBeSent(t, c.ID, command.Expired)
	if e := n.wantFinal(t, c.ID, command.Expired); e.Attempts != 0 || !e.SentAt.IsZero() {
		t.Errorf("expired: %+v", e)
	}
	n.begun(t, newCommand(deviceA), patient)
}

// beginAtOnce has everybody ask for the same device's lease.
func beginAtOnce(t *testing.T, b Backend) {
	n := start(t, b, "a")
	commands := newCommands(deviceA, 4)
	n.submit(t, commands...)
	var granted atomic.Int32
	atOnce(16, func(i int) {
		lease, err := n.Begin(t.Context(), commands[i%4].ID, patient)
		if err != nil {
			t.Errorf("begin: %v", err)
		}
		if lease.Granted {
			granted.Add(1)
		}
	})
	if granted.Load() != 1 {
		t.Fatalf("granted %d times", granted.Load())
	}
	sent := 0
	for _, c := range commands {
		if n.lookup(t, c.ID).State == command.Sent {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("%d commands are sent", sent)
	}
}

func withdrawn(t *testing.T, b Backend) {
	n := start(t, b, "a")
	first, second := newCommand(deviceA), newCommand(deviceA)
	n.begun(t, first, patient)
	n.withdraw(t, first.ID)
	n.withdraw(t, first.ID)
	if e := n.wantState(t, first.ID, command.Queued); e.Attempts != 0 || !e.SentAt.IsZero() || !e.Deadline.IsZero() {
		t.Errorf("withdrawn: %+v", e)
	}
	n.wantMatch(t, answer(deviceA, "of what?"), patient, command.MatchNone, "")
	n.begun(t, second, patient)
	n.wantWait(t, first.ID, 0, time.Hour)
	n.withdraw(t, second.ID)
	if e := n.grant(t, first.ID, patient); e.Attempts != 1 || e.SentAt.IsZero() {
		t.Errorf("begun again: %+v", e)
	}
	if _, err := n.Cancel(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	n.wantFinal(t, second.ID, command.Cancelled)
}

// withdrawnByOther does nothing, because only who has begun it can know.
func withdrawnByOther(t *testing.T, b Backend) {
	first := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	first.begun(t, c, patient)
	first.crash(t)
	n := start(t, b, "a")
	n.submit(t, next)
	n.withdraw(t, c.ID)
	n.wantState(t, c.ID, command.Sent)
	n.wantWait(t, next.ID, 0, time.Hour)
}

// withdrawnLate does nothing to a command that has its result, nor to its lease.
func withdrawnLate(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	n.begun(t, c, patient)
	n.submit(t, next)
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, c.ID)
	n.withdraw(t, c.ID)
	n.wantFinal(t, c.ID, command.Answered)
	n.wantWait(t, next.ID, 0, patient.Gap)
}
