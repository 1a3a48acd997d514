package commandtest

import (
	"errors"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

var boundCases = []testCase{
	{"of a device that is not connected", boundOfDevice},
	{"of all devices", boundOfAll},
}

// wantRefused makes sure that a command is not taken, and not kept.
func (n *node) wantRefused(t *testing.T, c command.Command, want command.Refusal) {
	t.Helper()
	_, created, err := n.Submit(t.Context(), c)
	var refused *command.RefusedError
	if created || !errors.As(err, &refused) || refused.Reason != want || refused.Text == "" {
		t.Fatalf("submit beyond the bound: %v, %v", created, err)
	}
	if e, err := n.Lookup(t.Context(), c.ID); !errors.Is(err, command.ErrUnknown) {
		t.Fatalf("a refused command is kept: %+v, %v", e, err)
	}
}

func boundOfDevice(t *testing.T, b Backend) {
	n := start(t, b, "a")
	commands := newCommands(deviceA, command.MaxOpenOfDevice)
	n.submit(t, commands...)
	more := newCommand(deviceA)
	n.wantRefused(t, more, command.RefusedQueue)
	n.submit(t, newCommand(deviceB))
	if e, created, err := n.Submit(t.Context(), commands[0]); err != nil || created || e.ID != commands[0].ID {
		t.Errorf("submit of a known command: %v, %v, %+v", created, err, e)
	}
	n.grant(t, commands[0].ID, patient)
	n.wantRefused(t, more, command.RefusedQueue) // one that is sent has not ended
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, commands[0].ID)
	n.submit(t, more)
	n.wantRefused(t, newCommand(deviceA), command.RefusedQueue)
	n.connect(deviceA)
	n.wantOrder(t, deviceA, append(ids(commands[1:]), more.ID))
}

func boundOfAll(t *testing.T, b Backend) {
	n := start(t, b, "a")
	all := append(newCommands(deviceA, MaxOpen/2), newCommands(deviceB, MaxOpen-MaxOpen/2)...)
	n.submit(t, all...)
	third := newCommand("352093081452269")
	n.wantRefused(t, third, command.RefusedStore)
	n.cancel(t, all[0].ID)
	n.submit(t, third)
	n.wantRefused(t, newCommand(deviceB), command.RefusedStore)
}
