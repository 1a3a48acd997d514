package commandtest

import (
	"errors"
	"sync/atomic"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var sharedCases = []testCase{
	{"submitted elsewhere", submittedElsewhere},
	{"submitted everywhere", submittedEverywhere},
	{"one lease for all", oneLease},
	{"answered elsewhere", answeredElsewhere},
	{"withdrawn elsewhere", withdrawnElsewhere},
	{"given back after the device moved", movedAway},
	{"begun after the device moved", begunAfterMove},
	{"an older connection ends elsewhere", olderElsewhere},
	{"a device connects elsewhere", takenOverElsewhere},
	{"queued at an instance that died", diedQueued},
	{"sent by an instance that died", diedSent},
	{"idempotent, sent by an instance that died", diedIdempotent},
}

func submittedElsewhere(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	here.connect(deviceA)
	there.connect(deviceB)
	mine, yours := newCommands(deviceA, 3), newCommands(deviceB, 3)
	there.submit(t, mine...)
	here.submit(t, yours...)
	here.wantOrder(t, deviceA, ids(mine))
	there.wantOrder(t, deviceB, ids(yours))
	here.grant(t, mine[0].ID, patient)
	if e := there.wantState(t, mine[0].ID, command.Sent); e.Instance != "a" {
		t.Errorf("sent by %q", e.Instance)
	}
}

func submittedEverywhere(t *testing.T, b Backend) {
	nodes := []*node{start(t, b, "a"), start(t, b, "b")}
	nodes[0].connect(deviceA)
	c := newCommand(deviceA)
	var created atomic.Int32
	atOnce(16, func(i int) {
		_, isNew, err := nodes[i%2].Submit(t.Context(), c)
		if err != nil {
			t.Errorf("submit: %v", err)
		}
		if isNew {
			created.Add(1)
		}
	})
	if created.Load() != 1 {
		t.Errorf("created %d times", created.Load())
	}
	nodes[0].wantReceived(t, c.ID)
}

func oneLease(t *testing.T, b Backend) {
	nodes := []*node{start(t, b, "a"), start(t, b, "b")}
	commands := newCommands(deviceA, 4)
	nodes[0].submit(t, commands...)
	var granted atomic.Int32
	atOnce(16, func(i int) {
		lease, err := nodes[i%2].Begin(t.Context(), commands[i%4].ID, patient)
		if err != nil {
			t.Errorf("begin: %v", err)
		}
		if lease.Granted {
			granted.Add(1)
		}
	})
	if granted.Load() != 1 {
		t.Errorf("granted %d times", granted.Load())
	}
}

func answeredElsewhere(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	c, next := newCommand(deviceA), newCommand(deviceA)
	here.begun(t, c, patient)
	there.submit(t, next)
	there.wantWait(t, next.ID, 0, patient.Send+c.Timeout+patient.Quarantine+slack)
	there.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, c.ID)
	here.wantMatch(t, answer(deviceA, "yes again"), patient, command.MatchLate, c.ID)
	if e := here.wantFinal(t, c.ID, command.Answered); e.Instance != "a" {
		t.Errorf("sent by %q", e.Instance)
	}
}

func withdrawnElsewhere(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	c := newCommand(deviceA)
	here.begun(t, c, patient)
	there.withdraw(t, c.ID)
	here.wantState(t, c.ID, command.Sent)
	there.wantNotToBeSent(t, c.ID, command.Sent)
}

func movedAway(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	older := here.connect(deviceA)
	commands := newCommands(deviceA, 3)
	here.submit(t, commands...)
	here.wantOrder(t, deviceA, ids(commands))
	there.connect(deviceA)
	here.Disconnect(older)
	for _, c := range commands {
		here.giveBack(t, c.ID)
	}
	for _, c := range commands {
		there.wantReceived(t, c.ID)
	}
	there.grant(t, commands[0].ID, patient)
}

// begunAfterMove has an instance not know that the connection it has is dead.
func begunAfterMove(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	here.connect(deviceA)
	first, withdrawn := newCommand(deviceA), newCommand(deviceA)
	here.submit(t, first, withdrawn)
	here.wantOrder(t, deviceA, ids([]command.Command{first, withdrawn}))
	here.grant(t, withdrawn.ID, patient)
	there.connect(deviceA)
	testkit.Succeeds(t, "the device being known to have moved", limit+b.Takeover, func() error {
		if len(there.order(deviceA)) > 0 {
			return nil
		}
		there.submit(t, newCommand(deviceA))
		return errors.New("nothing is taken there")
	})
	here.withdraw(t, withdrawn.ID)
	for _, c := range []command.Command{first, withdrawn} {
		here.wantNotToBeSent(t, c.ID, command.Queued)
		there.wantReceived(t, c.ID)
		there.grant(t, c.ID, patient)
		there.wantMatch(t, answer(deviceA, "yes"), command.Timeouts{}, command.MatchAnswer, c.ID)
	}
}

func olderElsewhere(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	older := here.connect(deviceA)
	first := newCommand(deviceA)
	there.submit(t, first)
	here.wantReceived(t, first.ID)
	there.connect(deviceA)
	here.Disconnect(older)
	here.giveBack(t, first.ID)
	there.wantReceived(t, first.ID)
	second := newCommand(deviceA)
	here.submit(t, second)
	there.wantReceived(t, second.ID)
}

// takenOverElsewhere has a device go from one instance to another and back, while another device stays.
func takenOverElsewhere(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	stays := here.connect(deviceB)
	first := here.connect(deviceA)
	known := newCommand(deviceA)
	there.submit(t, known)
	here.wantReceived(t, known.ID)
	second := there.connect(deviceA)
	here.wantTakenOver(t, first)
	here.Disconnect(first)
	third := here.connect(deviceA)
	there.wantTakenOver(t, second)
	there.Disconnect(second)
	last := newCommand(deviceA)
	there.submit(t, last)
	here.wantReceived(t, last.ID)
	if here.WasTakenOver(third) || here.WasTakenOver(stays) {
		t.Error("the newest connection of a device was taken over")
	}
}

// diedQueued has commands that an instance took and did not begin.
func diedQueued(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	here.connect(deviceA)
	commands := newCommands(deviceA, 3)
	there.submit(t, commands...)
	here.wantOrder(t, deviceA, ids(commands))
	here.crash(t)
	there.connect(deviceA)
	for _, c := range commands {
		there.wantReceived(t, c.ID)
	}
	there.grant(t, commands[0].ID, patient)
}

func diedSent(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	here.connect(deviceA)
	c := newCommand(deviceA)
	c.Timeout = command.MinTimeout
	here.submit(t, c)
	here.wantReceived(t, c.ID)
	here.grant(t, c.ID, hasty)
	here.crash(t)
	there.connect(deviceA)
	if e := there.wantEnd(t, c.ID, command.Failed); e.Reason != command.ReasonDeliveryUnknown || e.Instance != "a" {
		t.Errorf("left by an instance that died: %+v", e)
	}
	if got, taken := there.Received(c.ID); taken {
		t.Errorf("taken: %+v", got)
	}
	there.wantTold(t, c.ID)
}

func diedIdempotent(t *testing.T, b Backend) {
	here, there := start(t, b, "a"), start(t, b, "b")
	here.connect(deviceA)
	c := newCommand(deviceA)
	c.Idempotent = true
	here.submit(t, c)
	here.wantReceived(t, c.ID)
	here.grant(t, c.ID, patient)
	here.crash(t)
	there.connect(deviceA)
	there.wantReceived(t, c.ID)
	if e := there.grant(t, c.ID, patient); e.Attempts != 2 || e.Instance != "b" {
		t.Errorf("begun again: %+v", e)
	}
	there.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, c.ID)
	there.wantFinal(t, c.ID, command.Answered)
}
