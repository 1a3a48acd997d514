package commandtest

import (
	"errors"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var endCases = []testCase{
	{"expired without a device", expiresAlone},
	{"expired with a device that nobody serves", expiresTaken},
	{"expired while the store was closed", expiresClosed},
	{"sent and given up", sentAndGivenUp},
}

// wantTold waits until the receiver was told, once, that the store ended the command.
func (n *node) wantTold(t *testing.T, id string) {
	t.Helper()
	testkit.Succeeds(t, "the receiver being told of the end of "+id, limit+n.backend.Takeover, func() error {
		if n.endings(id) == 0 {
			return errors.New("not told")
		}
		return nil
	})
	if told := n.endings(id); told != 1 {
		t.Errorf("told %d times of the end of %s", told, id)
	}
}

func expiresAlone(t *testing.T, b Backend) {
	n := start(t, b, "a")
	soon, later := newCommand(deviceA), newCommand(deviceA)
	soon.Expires = soon.Created.Add(150 * time.Millisecond)
	n.submit(t, soon, later)
	e := n.wantEnd(t, soon.ID, command.Expired)
	if e.Reason != command.ReasonNotConnected || e.Attempts != 0 || !e.SentAt.IsZero() ||
		e.FinishedAt.Before(soon.Expires.Truncate(time.Millisecond)) {
		t.Errorf("expired: %+v", e)
	}
	n.wantTold(t, soon.ID)
	n.wantNotToBeSent(t, soon.ID, command.Expired)
	n.wantState(t, later.ID, command.Queued)
}

func expiresTaken(t *testing.T, b Backend) {
	n := start(t, b, "a")
	n.connect(deviceA)
	c := expiresSoon(t, deviceA, func(c command.Command) bool {
		n.submit(t, c)
		taken := false
		testkit.Succeeds(t, "the receiver taking "+c.ID+", or its end", limit+n.backend.Takeover, func() error {
			if _, taken = n.Received(c.ID); taken || n.endings(c.ID) > 0 {
				return nil
			}
			return errors.New("neither")
		})
		return taken
	})
	if e := n.wantEnd(t, c.ID, command.Expired); e.Reason != command.ReasonNoLease {
		t.Errorf("the reason is %q", e.Reason)
	}
	n.wantTold(t, c.ID)
}

func expiresClosed(t *testing.T, b Backend) {
	first := open(t, b, "a")
	c := expired(deviceA)
	first.submit(t, c)
	first.stop(t)
	n := start(t, b, "a")
	n.wantEnd(t, c.ID, command.Expired)
	n.wantTold(t, c.ID)
}

// sentAndGivenUp has a command whose sender forgot about it, though it lives.
func sentAndGivenUp(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c, next := newCommand(deviceA), newCommand(deviceA)
	c.Timeout = command.MinTimeout
	sent := n.begun(t, c, hasty)
	n.submit(t, next)
	if e := n.wantEnd(t, c.ID, command.TimedOut); e.Reason != command.ReasonNoAnswer ||
		e.FinishedAt.Before(sent.SentAt.Add(c.Timeout).Truncate(time.Millisecond)) || e.Attempts != 1 {
		t.Errorf("timed out: %+v", e)
	}
	n.wantTold(t, c.ID)
	n.wantGrantSoon(t, next.ID)
}
