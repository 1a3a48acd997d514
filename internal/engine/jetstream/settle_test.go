package jetstream

import (
	"encoding/json"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const tracker = "356307042441013"

// TestLatePartIsRefused has a part arrive whose lane has given it up: it stood in the socket of a frozen server.
func TestLatePartIsRefused(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	e := open(t, n, 1)
	defer e.Close()
	first, late, next := enginetest.NewBatch(tracker, 0, 3), enginetest.NewBatch(tracker, 3, 3),
		enginetest.NewBatch(tracker, 6, 3)
	if err := e.Store(t.Context(), 0, first); err != nil {
		t.Fatal(err)
	}
	// What the lane does to write a part, but for sending it.
	l := e.lanes[0]
	p := l.cut(late, 0, late.Results)
	p.id, p.fence, p.lastSubject = "late", l.positions[0].fenceOf(l.run), subject(0, 0, tracker)
	l.batch, l.pending = late.ID, p

	if err := e.Store(t.Context(), 0, next); err != nil {
		t.Fatal(err)
	}
	for i := range late.Records {
		l.setItem(late, 0, i)
		l.setBatch(p, i+1)
		if i == p.last {
			l.set(headerCommit, "1")
			answer, err := n.Conn().RequestMsgWithContext(t.Context(), &l.message)
			if err != nil {
				t.Fatal(err)
			}
			var stored confirmation
			if err := json.Unmarshal(answer.Data, &stored); err != nil || stored.Error == nil {
				t.Errorf("the late part is answered %s, want it refused (%v)", answer.Data, err)
			}
		} else if err := n.Conn().PublishMsg(&l.message); err != nil {
			t.Fatal(err)
		}
	}
	wantStored(t, n, first, next)
}

// TestLostAnswer has the servers store a batch and the network swallow what they say.
func TestLostAnswer(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	r := startRelay(t, n.Addr(0))
	e := openAt(t, "nats://"+r.address, 1)
	defer e.Close()
	first, second := enginetest.NewBatch(tracker, 0, 1500), enginetest.NewBatch(tracker, 1500, 1500)
	if err := e.Store(t.Context(), 0, first); err != nil {
		t.Fatal(err)
	}
	r.mute.Store(true)
	err := e.Store(t.Context(), 0, second)
	if err == nil {
		t.Fatal("a batch is confirmed without an answer")
	}
	r.mute.Store(false)
	testkit.Succeeds(t, "the batch", patience, func() error { return e.Store(t.Context(), 0, second) })
	for i, result := range second.Results {
		if result.Duplicate != (i < maxPartItems) {
			t.Fatalf("item %d: duplicate is %v, want the first part found", i, result.Duplicate)
		}
	}
	wantStored(t, n, first, second)
}

// relay passes bytes on to a server, and what it says back unless it is mute.
type relay struct {
	address string
	mute    atomic.Bool
}

func startRelay(t *testing.T, to string) *relay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	r := &relay{address: listener.Addr().String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go r.pass(client, to)
		}
	}()
	return r
}

func (r *relay) pass(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		copyWhile(server, client, func() bool { return true })
		_ = client.Close()
		_ = server.Close()
	}()
	copyWhile(client, server, func() bool { return !r.mute.Load() })
}

// copyWhile copies what passes, and throws the rest away.
func copyWhile(to, from net.Conn, passes func() bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if passes() {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func TestOldServerIsRefused(t *testing.T) {
	for version, old := range map[string]bool{
		"2.9.25": true, "2.11.0": true, "2.12.0": false, "2.15.3": false, "3.0.0-dev": false, "": true,
	} {
		err := oldServer(version)
		if (err != nil) != old || old && !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%q: %v", version, err)
		}
	}
}
