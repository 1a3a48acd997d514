package commandtest

import (
	"bytes"
	"slices"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

var listCases = []testCase{
	{"the newest first, page by page", listPages},
	{"of a device, open ones, all", listSelected},
	{"an old one that is open", listOldOpen},
	{"large ones", listLarge},
	{"waiting for the device", listParked},
}

func (n *node) list(t *testing.T, q command.Query) command.Page {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = command.MaxPage
	}
	p, err := n.List(t.Context(), q)
	if err != nil {
		t.Fatalf("list %+v: %v", q, err)
	}
	return p
}

// listAll reads page after page.
func (n *node) listAll(t *testing.T, q command.Query) (ids []string) {
	t.Helper()
	for {
		p := n.list(t, q)
		for _, e := range p.Entries {
			ids = append(ids, e.ID)
		}
		if q.Before = p.Next; p.Next == 0 {
			return ids
		}
	}
}

func (n *node) wantList(t *testing.T, q command.Query, want ...string) {
	t.Helper()
	if got := n.listAll(t, q); !slices.Equal(got, want) {
		t.Fatalf("list %+v:\n got %q\nwant %q", q, got, want)
	}
}

func listPages(t *testing.T, b Backend) {
	n := start(t, b, "a")
	n.wantList(t, command.Query{IMEI: deviceA})
	commands := newCommands(deviceA, 5)
	n.submit(t, commands...)
	n.cancel(t, commands[1].ID, commands[3].ID)
	want := ids(commands)
	slices.Reverse(want)
	for limit := 1; limit <= 6; limit++ {
		n.wantList(t, command.Query{IMEI: deviceA, Limit: limit}, want...)
	}
	p := n.list(t, command.Query{IMEI: deviceA, Limit: 2})
	n.submit(t, newCommands(deviceA, 3)...) // moves no page
	n.wantList(t, command.Query{IMEI: deviceA, Limit: 2, Before: p.Next}, want[2:]...)
	if err := sameCommand(p.Entries[0].Command, commands[4]); err != nil || p.Entries[1].State != command.Cancelled {
		t.Errorf("listed as %+v: %v", p.Entries, err)
	}
}

func (n *node) cancel(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := n.Cancel(t.Context(), id); err != nil {
			t.Fatalf("cancel %s: %v", id, err)
		}
	}
}

func listSelected(t *testing.T, b Backend) {
	n := start(t, b, "a")
	a, sent, other := newCommand(deviceA), newCommand(deviceA), newCommand(deviceB)
	n.submit(t, a, other)
	n.begun(t, sent, patient)
	n.cancel(t, a.ID)
	n.wantList(t, command.Query{IMEI: deviceA}, sent.ID, a.ID)
	n.wantList(t, command.Query{IMEI: deviceA, Open: true}, sent.ID)
	n.wantList(t, command.Query{}, sent.ID, other.ID, a.ID)
	n.wantList(t, command.Query{Open: true}, sent.ID, other.ID)
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, sent.ID)
	n.wantList(t, command.Query{Open: true}, other.ID)
	if e := n.list(t, command.Query{IMEI: deviceA}).Entries[0]; string(e.Response) != "yes" {
		t.Errorf("listed as %+v", e)
	}
}

// listOldOpen has more commands end after it than are kept on a list.
func listOldOpen(t *testing.T, b Backend) {
	n := start(t, b, "a")
	old := newCommand(deviceA)
	n.submit(t, old)
	for range 300 {
		c := newCommand(deviceA)
		n.submit(t, c)
		n.cancel(t, c.ID)
	}
	n.wantList(t, command.Query{IMEI: deviceA, Open: true}, old.ID)
	if all := n.listAll(t, command.Query{IMEI: deviceA}); len(all) < 257 || all[len(all)-1] != old.ID {
		t.Errorf("%d listed, the oldest is %s", len(all), all[len(all)-1])
	}
}

func listLarge(t *testing.T, b Backend) {
	n := start(t, b, "a")
	var want []string
	for range 20 {
		c := newCommand(deviceA)
		n.begun(t, c, patient)
		m := answer(deviceA, string(bytes.Repeat([]byte{0}, 100_000)))
		n.wantMatch(t, m, command.Timeouts{}, command.MatchAnswer, c.ID)
		want = append(want, c.ID)
	}
	slices.Reverse(want)
	if p := n.list(t, command.Query{IMEI: deviceA}); p.Next == 0 || len(p.Entries) < 10 {
		t.Errorf("a page of %d commands, next %d", len(p.Entries), p.Next)
	}
	n.wantList(t, command.Query{IMEI: deviceA}, want...)
}

// listParked says of a command, wherever it is asked for, whether its device is there.
func listParked(t *testing.T, b Backend) {
	n := start(t, b, "a")
	here, absent := newCommand(deviceA), newCommand(deviceB)
	n.connect(deviceA)
	n.submit(t, here)
	n.wantReceived(t, here.ID)
	if e, created, err := n.Submit(t.Context(), absent); err != nil || !created || !e.Parked {
		t.Errorf("submitted: %v, %+v", err, e)
	}
	for _, c := range []command.Command{here, absent} {
		want := c.IMEI == deviceB
		if e := n.lookup(t, c.ID); e.Parked != want {
			t.Errorf("looked up: %+v", e)
		}
		if e := n.list(t, command.Query{IMEI: c.IMEI}).Entries[0]; e.Parked != want {
			t.Errorf("listed: %+v", e)
		}
	}
	n.cancel(t, absent.ID)
	if e := n.lookup(t, absent.ID); e.Parked {
		t.Errorf("cancelled: %+v", e)
	}
}
