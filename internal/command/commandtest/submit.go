package commandtest

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

var submitCases = []testCase{
	{"kept as it is", submitKept},
	{"known id", submitKnown},
	{"known id of a final command", submitFinal},
	{"the same id at once", submitAtOnce},
	{"unknown id", unknown},
	{"cancel", cancel},
	{"cancel too late", cancelLate},
}

// submitKept keeps commands with every field set, and reads them after the store was opened again.
func submitKept(t *testing.T, b Backend) {
	plain := newCommand(deviceA)
	full := newCommand(deviceB)
	full.ID = `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~` + full.ID
	full.Codec, full.Timeout, full.Idempotent, full.Confirm = teltonika.Codec14, 1234*time.Millisecond, true, true
	full.OnlyIf = condition.Read("speed<5, ignition=off, age<=5m")
	full.Payload = []byte("\x00\x01\xff 'x'; \r\n")
	long := newCommand(deviceA)
	long.Payload, long.Timeout = bytes.Repeat([]byte{'x', 0xa5}, command.MaxPayload/2), command.MaxTimeout
	long.Expires = long.Created.Add(command.MaxExpiry)
	text := newCommand(deviceA)
	text.Payload = []byte("6869 \t\r\n") // looks like hex

	first := start(t, b, "a")
	first.submit(t, plain, full, long, text)
	first.stop(t)
	n := start(t, b, "a")
	for _, c := range []command.Command{plain, full, long, text} {
		e := n.wantState(t, c.ID, command.Queued)
		if err := sameCommand(e.Command, c); err != nil {
			t.Error(err)
		}
		if e.Attempts != 0 || !e.SentAt.IsZero() || !e.Deadline.IsZero() || !e.FinishedAt.IsZero() || e.Response != nil ||
			e.Reason != "" {
			t.Errorf("a command that nothing has become of: %+v", e)
		}
	}
	wantResults(t, b)
}

// submitKnown changes nothing of the command that is there.
func submitKnown(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	n.submit(t, c)
	other := newCommand(deviceB)
	other.ID, other.Timeout = c.ID, time.Second
	for range 2 {
		e, created, err := n.Submit(t.Context(), other)
		if err != nil || created || e.State != command.Queued {
			t.Fatalf("submit of a known id: created = %v, %v, %+v", created, err, e)
		}
		if err := sameCommand(e.Command, c); err != nil {
			t.Error(err)
		}
	}
	if err := sameCommand(n.lookup(t, c.ID).Command, c); err != nil {
		t.Error(err)
	}
}

// submitFinal is told the result.
func submitFinal(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	n.begun(t, c, patient)
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, c.ID)
	e, created, err := n.Submit(t.Context(), c)
	if err != nil || created || e.State != command.Answered || string(e.Response) != "yes" {
		t.Fatalf("submit of an answered command: created = %v, %v, %+v", created, err, e)
	}
	n.wantNotToBeSent(t, c.ID, command.Answered)
	n.wantFinal(t, c.ID, command.Answered)
}

func submitAtOnce(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	var created atomic.Int32
	atOnce(16, func(int) {
		e, isNew, err := n.Submit(t.Context(), c)
		if err != nil || e.ID != c.ID {
			t.Errorf("submit: %v, %+v", err, e)
		}
		if isNew {
			created.Add(1)
		}
	})
	if created.Load() != 1 {
		t.Errorf("created %d times", created.Load())
	}
}

// atOnce calls do in many goroutines at once and waits for them.
func atOnce(count int, do func(i int)) {
	var running sync.WaitGroup
	begin := make(chan struct{})
	for i := range count {
		running.Go(func() {
			<-begin
			do(i)
		})
	}
	close(begin)
	running.Wait()
}

func unknown(t *testing.T, b Backend) {
	n := start(t, b, "a")
	const id = "nobody-knows"
	if _, err := n.Lookup(t.Context(), id); !errors.Is(err, command.ErrUnknown) {
		t.Errorf("lookup: %v", err)
	}
	if _, err := n.Cancel(t.Context(), id); !errors.Is(err, command.ErrUnknown) {
		t.Errorf("cancel: %v", err)
	}
	if _, err := n.Begin(t.Context(), id, patient); !errors.Is(err, command.ErrUnknown) {
		t.Errorf("begin: %v", err)
	}
	n.withdraw(t, id)
	if err := n.Return(t.Context(), id); err != nil && !errors.Is(err, command.ErrUnknown) {
		t.Errorf("return: %v", err)
	}
	wantResults(t, b)
}

func cancel(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	n.submit(t, c)
	for range 2 {
		e, err := n.Cancel(t.Context(), c.ID)
		if err != nil || e.State != command.Cancelled || e.Reason != command.ReasonTakenBack || e.FinishedAt.IsZero() {
			t.Fatalf("cancel: %v, %+v", err, e)
		}
	}
	n.wantNotToBeSent(t, c.ID, command.Cancelled)
	if e := n.wantFinal(t, c.ID, command.Cancelled); e.Instance != "a" || e.Attempts != 0 || !e.SentAt.IsZero() {
		t.Errorf("cancelled: %+v", e)
	}
}

// cancelLate leaves alone what may have been sent.
func cancelLate(t *testing.T, b Backend) {
	n := start(t, b, "a")
	c := newCommand(deviceA)
	n.begun(t, c, patient)
	if e, err := n.Cancel(t.Context(), c.ID); err != nil || e.State != command.Sent {
		t.Fatalf("cancel of a command that is sent: %v, %+v", err, e)
	}
	n.wantMatch(t, answer(deviceA, "yes"), patient, command.MatchAnswer, c.ID)
	if e, err := n.Cancel(t.Context(), c.ID); err != nil || e.State != command.Answered {
		t.Fatalf("cancel of an answered command: %v, %+v", err, e)
	}
	n.wantFinal(t, c.ID, command.Answered)
}
