package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestManyCommands hands out more than one transaction reads, in order.
func TestManyCommands(t *testing.T) {
	dir := t.TempDir()
	n := startRunning(t, dir)
	var want []string
	for i := range command.MaxOpenOfDevice {
		want = append(want, fmt.Sprint("command-", i))
	}
	submit(t, n, want...)
	n.Connected(command.Connection{IMEI: deviceA, Number: 1})
	testkit.Succeeds(t, "what the store does in its own time", testkit.Timeout, func() error {
		if got := n.ids(); len(got) < len(want) {
			return fmt.Errorf("%d of %d are taken", len(got), len(want))
		}
		return nil
	})
	if got := n.ids(); !slices.Equal(got, want) {
		t.Errorf("taken in another order than submitted, or more than once: %v", got)
	}
}

// TestManyExpire ends more than one transaction does.
func TestManyExpire(t *testing.T) {
	s := start(t, t.TempDir())
	for i := range command.MaxOpenOfDevice {
		submit(t, s, fmt.Sprint("command-", i))
	}
	s.now = func() time.Time { return time.Now().Add(time.Hour) }
	var told ends
	if err := s.sweep(t.Context(), &told); err != nil {
		t.Fatal(err)
	}
	if len(told.ended) != command.MaxOpenOfDevice || told.ended["command-0"].State != command.Expired {
		t.Errorf("%d are ended", len(told.ended))
	}
}

// ends notes what it is told of.
type ends struct {
	running
	ended map[string]command.Entry
}

func (n *ends) Finished(e command.Entry) {
	if n.ended == nil {
		n.ended = map[string]command.Entry{}
	}
	n.ended[e.ID] = e
}

// TestReturnedWhileHandedOut returns a command between the store's reading and the receiver's taking of the others.
func TestReturnedWhileHandedOut(t *testing.T) {
	d := newDevices()
	d.connected[deviceA] = &device{connection: 1, handed: 5}
	first := row{seq: 3}
	first.IMEI = deviceA
	d.waiting[deviceA] = struct{}{}
	imei, at, ok := d.next()
	if !ok || imei != deviceA || at.handed != 5 {
		t.Fatalf("next is %q, %+v, %v", imei, at, ok)
	}
	d.returned(&first)
	if d.claim(imei, at, 8) {
		t.Error("the commands after 5 are claimed, though 3 was returned")
	}
	if _, at, ok = d.next(); !ok || at.handed != 2 {
		t.Fatalf("next is %+v, %v, want all after 2", at, ok)
	}
	if !d.claim(imei, at, 8) {
		t.Error("the commands after 2 cannot be claimed")
	}
	if _, _, ok = d.next(); ok {
		t.Error("the device still waits")
	}
}

// TestAnotherFile has the file be another one after a fault, in which everything is counted from the start.
func TestAnotherFile(t *testing.T) {
	dir := t.TempDir()
	n := startRunning(t, dir)
	n.Connected(command.Connection{IMEI: deviceA, Number: 1})
	submit(t, n, "first", "second", "third")
	n.wantTaken(t, "third", 0)
	fault := errors.New("the disk is gone")
	_, err := transact(t.Context(), n.Store, func(*transaction) (int, error) { // during which nobody opens the file again
		return 0, errors.Join(fault, os.Rename(n.path, n.path+".old"))
	})
	if !errors.Is(err, fault) {
		t.Fatal(err)
	}
	submit(t, n, "other")
	n.wantTaken(t, "other", 0)
	wantKnown(t, dir, "other")
}

// TestExpiredAfterCrash leaves an idempotent command that was sent, and whose time is over when it could be sent again.
func TestExpiredAfterCrash(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir, "a")
	c := newCommand("idempotent")
	c.Idempotent = true
	if _, _, err := first.Submit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	begin(t, first, c.ID)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	var told ends
	for _, taken := range []int{1, 0} {
		s.Connected(command.Connection{IMEI: deviceA, Number: uint64(2 - taken)})
		told.taken = nil
		if err := s.handOut(t.Context(), &told); err != nil || len(told.taken) != taken {
			t.Errorf("%d commands are taken, %v, want %d", len(told.taken), err, taken)
		}
		s.now = func() time.Time { return c.Expires.Add(time.Second) }
	}
	if lease, err := s.Begin(t.Context(), c.ID, command.Timeouts{}); err != nil || lease.Granted || lease.Wait != 0 {
		t.Errorf("begin: %v, %+v", err, lease)
	}
	if err := s.sweep(t.Context(), &told); err != nil || told.ended[c.ID].Reason != command.ReasonDeliveryUnknown {
		t.Errorf("ended are %+v, %v", told.ended, err)
	}
}

func begin(t *testing.T, s *Store, id string) {
	t.Helper()
	if lease, err := s.Begin(t.Context(), id, command.Timeouts{Quarantine: time.Minute}); err != nil || !lease.Granted {
		t.Fatalf("begin %s: %v, %+v", id, err, lease)
	}
}

// TestLeaseIsOver has a message come after the lease, which nobody else has taken.
func TestLeaseIsOver(t *testing.T) {
	s := start(t, t.TempDir())
	now := time.Now()
	s.now = func() time.Time { return now }
	submit(t, s, "first")
	begin(t, s, "first")
	e := command.Entry{Command: newCommand("first")}
	if _, err := s.Finish(t.Context(), e.Finished(command.TimedOut, "no answer", now),
		command.Timeouts{Quarantine: time.Minute}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	m := answer(deviceA)
	m.Received = now
	if match, e, err := s.Settle(t.Context(), m, command.Timeouts{}); err != nil || match != command.MatchNone {
		t.Errorf("the message is %v of %q, %v", match, e.ID, err)
	}
}

// TestAskedLater settles a message only when the next command has begun, as after a fault: it cannot be its answer.
func TestAskedLater(t *testing.T) {
	s := start(t, t.TempDir())
	message := answer(deviceA)
	message.Received = time.Now().Add(-time.Second)
	submit(t, s, "first")
	begin(t, s, "first")
	if match, e, err := s.Settle(t.Context(), message, command.Timeouts{}); err != nil || match != command.MatchNone ||
		e.ID != "" {
		t.Errorf("a message from before the command is %v of %q, %v", match, e.ID, err)
	}
	if match, e, err := s.Settle(t.Context(), answer(deviceA), command.Timeouts{}); err != nil ||
		match != command.MatchAnswer || e.ID != "first" {
		t.Errorf("the answer is %v of %q, %v", match, e.ID, err)
	}
}

// TestSettledAgain has the answer to a call be lost, its effect not. The command was sent twice, so that two messages
// may come for it: one that is asked about again is one.
func TestSettledAgain(t *testing.T) {
	dir := t.TempDir()
	c := newCommand("first")
	c.Idempotent = true
	previous := openStore(t, dir, "a")
	if _, _, err := previous.Submit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	begin(t, previous, c.ID)
	if err := previous.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	begin(t, s, c.ID)
	p := command.Timeouts{Quarantine: time.Minute}
	first, second := answer(deviceA), answer(deviceA)
	settleUnheard(t, s, first, p)
	for _, want := range []struct {
		message *command.Message
		match   command.Match
		lease   bool // goes on
	}{{first, command.MatchAnswer, true}, {second, command.MatchLate, false}} {
		if match, e, err := s.Settle(t.Context(), want.message, p); err != nil || match != want.match || e.ID != c.ID {
			t.Errorf("the message is %q of %q, %v, want %q", match, e.ID, err, want.match)
		}
		next := newCommand("next")
		if _, _, err := s.Submit(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		if lease, err := s.Begin(t.Context(), next.ID, p); err != nil || lease.Granted == want.lease {
			t.Errorf("after %q the next command's lease is %+v, %v", want.match, lease, err)
		}
	}
}

// settleUnheard settles the message with a call that fails because nobody waits for its end.
func settleUnheard(t *testing.T, s *Store, m *command.Message, p command.Timeouts) {
	t.Helper()
	lock, err := connect(t, filepath.Dir(s.path)).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := s.Settle(ctx, m, p); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("settle while the file is locked: %v", err)
	}
	if _, err := lock.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	testkit.Succeeds(t, "what the store does in its own time", testkit.Timeout, func() error {
		if e, err := s.Lookup(t.Context(), "first"); err != nil || e.State != command.Answered {
			return fmt.Errorf("%v, it is %s", err, e.State)
		}
		return nil
	})
}

// TestNewestEvents keeps so many and no more.
func TestNewestEvents(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if s.maxEvents != 10_000 {
		t.Errorf("%d events would be kept", s.maxEvents)
	}
	s.maxEvents = 10
	for i := range 25 {
		m := answer(deviceA)
		m.Payload = fmt.Append(nil, i)
		if err := s.Publish(t.Context(), &command.Event{Message: *m, Kind: command.MatchNone}); err != nil {
			t.Fatal(err)
		}
	}
	events := readEvents(t, dir)
	if len(events) != 10 || string(events[0].Payload) != "15" || string(events[9].Payload) != "24" {
		t.Errorf("%d events are kept: %+v", len(events), events)
	}
}

func finish(t *testing.T, s *Store, id string) {
	t.Helper()
	e, err := s.Lookup(t.Context(), id)
	if err != nil {
		e = command.Entry{Command: newCommand(id)}
	}
	if _, err := s.Finish(t.Context(), e.Finished(command.Failed, "denied", s.now()), command.Timeouts{}); err != nil {
		t.Fatal(err)
	}
}

// TestNotFinal refuses to finish a command with a state that is no end.
func TestNotFinal(t *testing.T) {
	s := start(t, t.TempDir())
	submit(t, s, "first")
	for _, state := range []command.State{command.Queued, command.Sent, ""} {
		e := command.Entry{Command: newCommand("first")}
		_, err := s.Finish(t.Context(), e.Finished(state, "", time.Now()), command.Timeouts{})
		if !errors.Is(err, errNotFinal) {
			t.Errorf("finish as %q: %v", state, err)
		}
	}
	if e, err := s.Lookup(t.Context(), "first"); err != nil || e.State != command.Queued {
		t.Errorf("%v, %+v", err, e)
	}
}
