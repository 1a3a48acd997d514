package sqlitestore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// The environment that makes the test binary a process that sends commands.
const (
	childDir   = "TEST_SQLITESTORE_CHILD_DIR"
	childRound = "TEST_SQLITESTORE_CHILD_ROUND"
)

// long lets nothing end by itself.
var long = command.Timeouts{Send: time.Minute, Quarantine: time.Minute}

// childCommand returns one of the child's commands, each of another device. They are named for what the child does.
func childCommand(round, what string) command.Command {
	device := map[string]string{"queued": "1", "answered": "2", "sent": "3", "idempotent": "4"}[what]
	c := command.Command{
		ID: what + "-" + round, IMEI: "3563070424410" + round + device, Payload: []byte("getinfo"),
		Idempotent: what == "idempotent",
	}
	if what == "sent" {
		c.Timeout = command.MinTimeout
	}
	c.Complete(time.Now())
	return c
}

// runAsChild submits commands, answers one, begins two, says so, and waits for its end.
func runAsChild() {
	dir, round := os.Getenv(childDir), os.Getenv(childRound)
	if dir == "" {
		return
	}
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	s, err := New(Options{Dir: dir, Instance: "child"})
	must(err)
	s.grace = 0
	for _, what := range []string{"queued", "answered", "sent", "idempotent"} {
		_, _, err := s.Submit(ctx, childCommand(round, what))
		must(err)
		if what == "queued" {
			continue
		}
		p := long
		if what == "sent" {
			p = command.Timeouts{}
		}
		lease, err := s.Begin(ctx, what+"-"+round, p)
		must(err)
		if !lease.Granted {
			must(fmt.Errorf("not granted: %+v", lease))
		}
	}
	match, _, err := s.Settle(ctx, answer(childCommand(round, "answered").IMEI), long)
	must(err)
	fmt.Println(match)
	select {}
}

func answer(imei string) *command.Message {
	return &command.Message{IMEI: imei, Codec: teltonika.Codec12, Type: teltonika.TypeResponse, Payload: []byte("yes"),
		Received: time.Now()}
}

// killChild lets a child do its work and kills it.
func killChild(t *testing.T, dir, round string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir, childRound+"="+round)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() }) // fails when it has ended
	said := bufio.NewScanner(out)
	if !said.Scan() || said.Text() != string(command.MatchAnswer) {
		t.Fatalf("the child said %q", said.Text())
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // says that it was killed
}

// TestKilledProcess kills a process between Begin and Finish, several times. What it has done is there, what it has
// sent is not sent again but when it is idempotent, and each command has one result.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		name := fmt.Sprint(round)
		killChild(t, dir, name)
		n := startRunning(t, dir)
		for _, what := range []string{"queued", "sent", "answered", "idempotent"} {
			n.Connected(command.Connection{IMEI: childCommand(name, what).IMEI, Number: uint64(round + 1)})
		}
		n.wantTaken(t, "queued-"+name, 0)
		n.wantTaken(t, "idempotent-"+name, 1)
		if lease, err := n.Begin(t.Context(), "sent-"+name, long); err != nil || lease.Granted || lease.Wait != 0 {
			t.Errorf("begin of what was sent: %v, %+v", err, lease)
		}
		if e := n.wantEnd(t, "sent-"+name); e.State != command.Failed || e.Reason != command.ReasonDeliveryUnknown ||
			e.Instance != "child" {
			t.Errorf("what was sent: %+v", e)
		}
		if e := n.wantEnd(t, "answered-"+name); e.State != command.Answered || string(e.Response) != "yes" {
			t.Errorf("what was answered: %+v", e)
		}
		for id, attempts := range map[string]int{"queued-" + name: 1, "idempotent-" + name: 2} {
			lease, err := n.Begin(t.Context(), id, long)
			if err != nil || !lease.Granted || lease.Entry.Attempts != attempts {
				t.Errorf("begin of %s: %v, %+v", id, err, lease)
			}
			if match, e, err := n.Settle(t.Context(), answer(lease.Entry.IMEI), long); err != nil ||
				match != command.MatchAnswer || e.ID != id {
				t.Errorf("settle of %s: %v, %v of %s", id, err, match, e.ID)
			}
		}
		if results := readResults(t, dir); len(results) != 4*(round+1) {
			t.Errorf("%d results after round %d: %+v", len(results), round, results)
		}
		n.stop()
	}
}

// running is a store with its Run going on and a receiver that notes what it is given.
type running struct {
	*Store
	stop func()

	mu    sync.Mutex
	taken []command.Entry
}

func (n *running) Receive(e command.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken = append(n.taken, e)
}

func (n *running) Finished(command.Entry) {}

func (n *running) TakenOver(string, uint64) {}

func (n *running) Unreachable(context.Context, string) bool { return false }

func (n *running) Connections() iter.Seq[command.Connection] {
	return func(func(command.Connection) bool) {}
}

func startRunning(t *testing.T, dir string) *running {
	t.Helper()
	n := &running{Store: openStore(t, dir, "a")}
	n.runUntilEnd(t)
	return n
}

// ids are those that the receiver was given, in order.
func (n *running) ids() (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.taken {
		all = append(all, e.ID)
	}
	return all
}

func (n *running) wantTaken(t *testing.T, id string, attempts int) {
	t.Helper()
	testkit.Succeeds(t, "what the store does in its own time", testkit.Timeout, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !slices.ContainsFunc(n.taken, func(e command.Entry) bool { return e.ID == id && e.Attempts == attempts }) {
			return fmt.Errorf("%s is not taken: %+v", id, n.taken)
		}
		return nil
	})
}

func (n *running) wantEnd(t *testing.T, id string) (e command.Entry) {
	t.Helper()
	testkit.Succeeds(t, "what the store does in its own time", testkit.Timeout, func() (err error) {
		if e, err = n.Lookup(t.Context(), id); err == nil && !e.State.Final() {
			err = errors.New(id + " is " + string(e.State))
		}
		return err
	})
	return e
}
