package commandtest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// The methods below call the store's method of the same name, which must not fail.

func (n *node) submit(t *testing.T, commands ...command.Command) {
	t.Helper()
	for _, c := range commands {
		e, created, err := n.Submit(t.Context(), c)
		if err != nil {
			t.Fatalf("submit %s: %v", c.ID, err)
		}
		if !created || e.ID != c.ID {
			t.Fatalf("submit of the new %s says created = %v, %+v", c.ID, created, e)
		}
	}
}

func (n *node) lookup(t *testing.T, id string) command.Entry {
	t.Helper()
	e, err := n.Lookup(t.Context(), id)
	if err != nil {
		t.Fatalf("lookup %s: %v", id, err)
	}
	return e
}

func (n *node) begin(t *testing.T, id string, p command.Timeouts) command.Lease {
	t.Helper()
	lease, err := n.Begin(t.Context(), id, p)
	if err != nil {
		t.Fatalf("begin %s: %v", id, err)
	}
	return lease
}

func (n *node) withdraw(t *testing.T, id string) {
	t.Helper()
	if err := n.Withdraw(t.Context(), id); err != nil {
		t.Fatalf("withdraw %s: %v", id, err)
	}
}

func (n *node) settle(t *testing.T, m *command.Message, p command.Timeouts) (command.Match, command.Entry) {
	t.Helper()
	match, e, err := n.Settle(t.Context(), m, p)
	if err != nil {
		t.Fatalf("settle %q: %v", m.Payload, err)
	}
	return match, e
}

func (n *node) finish(t *testing.T, e command.Entry, p command.Timeouts) command.Entry {
	t.Helper()
	now, err := n.Finish(t.Context(), e, p)
	if err != nil {
		t.Fatalf("finish %s: %v", e.ID, err)
	}
	return now
}

// grant begins the command, which must be granted at once.
func (n *node) grant(t *testing.T, id string, p command.Timeouts) command.Entry {
	t.Helper()
	lease := n.begin(t, id, p)
	if !lease.Granted || lease.Entry.State != command.Sent {
		t.Fatalf("begin of %s is not granted: %+v", id, lease)
	}
	return lease.Entry
}

// begun submits a command of the device and begins it.
func (n *node) begun(t *testing.T, c command.Command, p command.Timeouts) command.Entry {
	t.Helper()
	n.submit(t, c)
	return n.grant(t, c.ID, p)
}

// wantWait makes sure that the lease is another command's, for a time within the limits.
func (n *node) wantWait(t *testing.T, id string, least, most time.Duration) {
	t.Helper()
	if lease := n.begin(t, id, patient); lease.Granted || lease.Wait <= least || lease.Wait > most ||
		lease.Entry.State != command.Queued {
		t.Fatalf("begin of %s must wait for more than %v and at most %v, queued: %+v", id, least, most, lease)
	}
}

// wantNotToBeSent makes sure that begin says so.
func (n *node) wantNotToBeSent(t *testing.T, id string, states ...command.State) {
	t.Helper()
	lease := n.begin(t, id, patient)
	if lease.Granted || lease.Wait != 0 || lease.Entry.ID != id {
		t.Fatalf("begin of %s must say that it is not to be sent: %+v", id, lease)
	}
	for _, s := range states {
		if lease.Entry.State == s {
			return
		}
	}
	t.Fatalf("after begin %s is %s, want one of %v", id, lease.Entry.State, states)
}

// wantGrantSoon begins until it is granted, which must be before the wait of a patient store ends.
func (n *node) wantGrantSoon(t *testing.T, id string) {
	t.Helper()
	testkit.Succeeds(t, "the lease of "+id, limit+n.backend.Takeover, func() error {
		if lease := n.begin(t, id, patient); !lease.Granted {
			return fmt.Errorf("not granted: %+v", lease)
		}
		return nil
	})
}

// wantMatch settles the message and compares what it is and whose.
func (n *node) wantMatch(t *testing.T, m *command.Message, p command.Timeouts, want command.Match,
	id string) command.Entry {
	t.Helper()
	match, e := n.settle(t, m, p)
	if match != want || e.ID != id {
		t.Fatalf("message %q (codec %v, type %#x) is %q of %q, want %q of %q", m.Payload, m.Codec, m.Type, match, e.ID, want,
			id)
	}
	return e
}

// wantState compares the command's state.
func (n *node) wantState(t *testing.T, id string, want command.State) command.Entry {
	t.Helper()
	e := n.lookup(t, id)
	if e.State != want {
		t.Fatalf("%s is %s (%s), want %s", id, e.State, e.Reason, want)
	}
	return e
}

// wantEnd waits for the command's end.
func (n *node) wantEnd(t *testing.T, id string, want command.State) command.Entry {
	t.Helper()
	testkit.Succeeds(t, "the end of "+id, limit+n.backend.Takeover, func() error {
		if e := n.lookup(t, id); !e.State.Final() {
			return fmt.Errorf("it is %s", e.State)
		}
		return nil
	})
	return n.wantFinal(t, id, want)
}

// wantFinal compares the command's final state, and what was announced of it.
func (n *node) wantFinal(t *testing.T, id string, want command.State) command.Entry {
	t.Helper()
	e := n.wantState(t, id, want)
	if since := time.Since(e.FinishedAt); since < -time.Second || since > time.Hour {
		t.Errorf("%s finished at %v", id, e.FinishedAt)
	}
	if e.Instance == "" {
		t.Errorf("%s has no instance", id)
	}
	if (e.Reason == "") != (want == command.Answered) {
		t.Errorf("%s is %s for the reason %q", id, want, e.Reason)
	}
	wantResults(t, n.backend, e)
	return e
}

// wantResults makes sure that each of the commands was announced once, as it is.
func wantResults(t *testing.T, b Backend, want ...command.Entry) {
	t.Helper()
	announced := map[string][]command.Entry{}
	for _, r := range b.Results(t) {
		announced[r.ID] = append(announced[r.ID], r)
	}
	for _, w := range want {
		got := announced[w.ID]
		if len(got) != 1 {
			t.Fatalf("%s has %d results: %+v", w.ID, len(got), got)
		}
		if err := sameResult(got[0], w); err != nil {
			t.Errorf("the result of %s: %v", w.ID, err)
		}
	}
}

// sameCommand compares all of a command. Times are kept in milliseconds.
func sameCommand(got, want command.Command) error {
	var errs []error
	differ := func(what string, same bool) {
		if !same {
			errs = append(errs, fmt.Errorf("the %s of\n%+v is not that of\n%+v", what, got, want))
		}
	}
	differ("id", got.ID == want.ID)
	differ("imei", got.IMEI == want.IMEI)
	differ("codec", got.Codec == want.Codec)
	differ("payload", bytes.Equal(got.Payload, want.Payload))
	differ("timeout", got.Timeout == want.Timeout.Truncate(time.Millisecond))
	differ("created", sameTime(got.Created, want.Created))
	differ("expiry", sameTime(got.Expires, want.Expires))
	differ("idempotence", got.Idempotent == want.Idempotent)
	differ("confirmation", got.Confirm == want.Confirm)
	differ("condition", got.OnlyIf.String() == want.OnlyIf.String())
	return errors.Join(errs...)
}

// sameResult compares what a result says.
func sameResult(got, want command.Entry) error {
	same := got.ID == want.ID && got.IMEI == want.IMEI && got.State == want.State && got.Reason == want.Reason &&
		bytes.Equal(got.Response, want.Response) && got.Instance == want.Instance &&
		sameTime(got.SentAt, want.SentAt) && sameTime(got.FinishedAt, want.FinishedAt)
	if !same {
		return fmt.Errorf("got\n%s, want\n%s", result(got), result(want))
	}
	return nil
}

// result is the part of an entry that a result says, for people.
func result(e command.Entry) string {
	return fmt.Sprintf("%s of %s %s (%s) %.40q by %s, sent %v, finished %v", e.ID, e.IMEI, e.State, e.Reason, e.Response,
		e.Instance,
		e.SentAt.UnixMilli(), e.FinishedAt.UnixMilli())
}

// sameTime compares to the millisecond. A time that is not there equals only another one.
func sameTime(a, b time.Time) bool {
	return a.IsZero() == b.IsZero() && (a.IsZero() || a.UnixMilli() == b.UnixMilli())
}
