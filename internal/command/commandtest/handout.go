package commandtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var handOutCases = []testCase{
	{"submitted before the device connects", takenOnConnect},
	{"connected before the store runs", takenAtStart},
	{"submitted while the device is connected", takenOnSubmit},
	{"reconnected", takenAgain},
	{"an older connection ends", olderEnds},
	{"an older connection is heard of later", olderConnects},
	{"given back", givenBack},
	{"given back, and connected later", givenBackEarly},
	{"only what may be sent", takenQueuedOnly},
	{"many devices", takenByMany},
}

// wantOrder waits until the receiver was given the device's commands, each for the first time, in this order.
func (n *node) wantOrder(t *testing.T, imei string, want []string) {
	t.Helper()
	testkit.Succeeds(t, "the receiver's commands", limit+n.backend.Takeover, func() error {
		if len(n.order(imei)) < len(want) {
			return errors.New("some are missing")
		}
		return nil
	})
	if got := n.order(imei); !slices.Equal(got, want) {
		t.Fatalf("taken in the order %v, want %v", got, want)
	}
}

func takenOnConnect(t *testing.T, b Backend) {
	n := start(t, b, "a")
	commands := newCommands(deviceA, 5)
	n.submit(t, commands[:3]...)
	n.submit(t, newCommand(deviceB))
	n.submit(t, commands[3:]...)
	n.connect(deviceA)
	n.wantOrder(t, deviceA, ids(commands))
	e, _ := n.Received(commands[0].ID)
	if err := sameCommand(e.Command, commands[0]); err != nil || e.State != command.Queued {
		t.Errorf("taken as %s: %v", e.State, err)
	}
	n.begun(t, newCommand(deviceA), patient) // nothing of this has begun anything
}

func takenAtStart(t *testing.T, b Backend) {
	n := open(t, b, "a")
	commands := newCommands(deviceA, 3)
	n.submit(t, commands...)
	n.connect(deviceA)
	n.Start()
	n.wantOrder(t, deviceA, ids(commands))
}

func takenOnSubmit(t *testing.T, b Backend) {
	n := start(t, b, "a")
	n.connect(deviceA)
	commands := newCommands(deviceA, 5)
	n.submit(t, commands...)
	n.wantOrder(t, deviceA, ids(commands))
}

// takenAgain has the device reconnect, and be taken over by a newer connection.
func takenAgain(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := n.connect(deviceA)
	commands := newCommands(deviceA, 3)
	n.submit(t, commands...)
	n.wantOrder(t, deviceA, ids(commands))
	n.Disconnect(c)
	for _, c := range commands {
		n.giveBack(t, c.ID)
	}
	n.Forget()
	n.connect(deviceA)
	n.wantOrder(t, deviceA, ids(commands))
}

func (n *node) giveBack(t *testing.T, id string) {
	t.Helper()
	if err := n.Return(t.Context(), id); err != nil {
		t.Fatalf("return %s: %v", id, err)
	}
}

func olderEnds(t *testing.T, b Backend) {
	n := start(t, b, "a")
	older := n.connect(deviceA)
	n.connect(deviceA)
	n.Disconnect(older)
	commands := newCommands(deviceA, 2)
	n.submit(t, commands...)
	n.wantOrder(t, deviceA, ids(commands))
}

// olderConnects says that the older connection is there after the newer one, and then that it ended.
func olderConnects(t *testing.T, b Backend) {
	n := start(t, b, "a")
	older := connection(deviceA)
	n.connect(deviceA)
	n.Connected(older)
	n.Disconnected(older)
	commands := newCommands(deviceA, 2)
	n.submit(t, commands...)
	n.wantOrder(t, deviceA, ids(commands))
}

// givenBack has the device connected again by the time that the command is given back.
func givenBack(t *testing.T, b Backend) {
	n := start(t, b, "a")
	n.connect(deviceA)
	c := newCommand(deviceA)
	n.submit(t, c)
	n.wantReceived(t, c.ID)
	n.connect(deviceA)
	marker := newCommand(deviceA)
	n.submit(t, marker)
	n.wantReceived(t, marker.ID)
	n.Forget()
	n.giveBack(t, c.ID)
	if e := n.wantReceived(t, c.ID); e.State != command.Queued {
		t.Errorf("taken again as %s", e.State)
	}
	n.grant(t, c.ID, patient)
}

func givenBackEarly(t *testing.T, b Backend) {
	n := start(t, b, "a")
	first := n.connect(deviceA)
	c := newCommand(deviceA)
	n.submit(t, c)
	n.wantReceived(t, c.ID)
	n.Disconnect(first)
	n.giveBack(t, c.ID)
	n.Forget()
	n.connect(deviceA)
	n.wantReceived(t, c.ID)
}

// takenQueuedOnly has commands that are not to be sent beside one that is.
func takenQueuedOnly(t *testing.T, b Backend) {
	n := start(t, b, "a")
	answered, cancelled, failed := newCommand(deviceA), newCommand(deviceA), newCommand(deviceA)
	sent, queued := newCommand(deviceA), newCommand(deviceA)
	sent.Idempotent = true
	over := expired(deviceA)
	n.begun(t, answered, hasty)
	n.wantMatch(t, answer(deviceA, "yes"), command.Timeouts{}, command.MatchAnswer, answered.ID)
	n.submit(t, cancelled, over, failed)
	if _, err := n.Cancel(t.Context(), cancelled.ID); err != nil {
		t.Fatal(err)
	}
	n.finish(t, n.lookup(t, failed.ID).Finished(command.Failed, "denied", time.Now()), patient)
	n.begun(t, sent, patient)
	n.submit(t, queued)
	n.wantEnd(t, over.ID, command.Expired)
	n.connect(deviceA)
	n.wantReceived(t, queued.ID)
	if got := n.order(deviceA); !slices.Equal(got, []string{queued.ID}) {
		t.Errorf("taken: %v, want only %s", got, queued.ID)
	}
}

// takenByMany connects devices while their commands arrive.
func takenByMany(t *testing.T, b Backend) {
	n := start(t, b, "a")
	const devices, each = 20, 5
	var commands [devices][]command.Command
	for i := range commands {
		commands[i] = newCommands(deviceA[:13]+string(rune('a'+i)), each)
	}
	atOnce(2*devices, func(i int) {
		if of := commands[i/2]; i%2 == 0 {
			for _, c := range of {
				if _, _, err := n.Submit(t.Context(), c); err != nil {
					t.Errorf("submit: %v", err)
				}
			}
		} else {
			n.connect(of[0].IMEI)
		}
	})
	for _, of := range commands {
		n.wantOrder(t, of[0].IMEI, ids(of))
	}
}
