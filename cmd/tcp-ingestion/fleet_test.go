package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// fleet is a simulated fleet at work in the background, and the ids of the records acknowledged to it.
type fleet struct {
	stop   context.CancelFunc
	done   chan struct{}
	ledger simulate.Ledger
	err    error

	mu        sync.Mutex
	lines     strings.Builder
	n         int
	confirmed confirmed
}

// confirmed are the messages that a later frame's ACK says are stored: IMEI and payload in hex.
type confirmed struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (c *confirmed) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines.Write(b)
}

// messages are the messages that must be stored by now.
func (f *fleet) messages() []string {
	f.confirmed.mu.Lock()
	defer f.confirmed.mu.Unlock()
	return strings.Fields(f.confirmed.lines.String())
}

// startFleet starts a fleet that sends as fast as it is answered until end is called. change adjusts it.
func startFleet(t testing.TB, address string, devices int, change func(*simulate.Options)) *fleet {
	t.Helper()
	o := simulate.Defaults()
	o.Address, o.Devices, o.Acknowledged = address, devices, nil
	o.Ramp, o.Retry, o.ResponseTimeout, o.Drain = 0, 20*time.Millisecond, 5*time.Second, patience
	o.Codecs = simulate.Mix{{Codec: teltonika.Codec8, Weight: 2}, {Codec: teltonika.Codec8E, Weight: 2},
		{Codec: teltonika.Codec16, Weight: 1}}
	f := &fleet{done: make(chan struct{})}
	o.Acknowledged, o.Confirmed = f, &f.confirmed
	if change != nil {
		change(&o)
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	go func() {
		defer close(f.done)
		f.ledger, f.err = simulate.Run(ctx, o)
	}()
	t.Cleanup(func() {
		stop()
		<-f.done
	})
	return f
}

// Write takes the lines of acknowledged records.
func (f *fleet) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n += bytes.Count(b, []byte{'\n'})
	return f.lines.Write(b)
}

// acknowledged are the ids acknowledged so far.
func (f *fleet) acknowledged() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Fields(f.lines.String())
}

// count is the number of records acknowledged so far.
func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// endWith is end, and then the server's: its books balance, and it stops as it should.
func (f *fleet) endWith(t *testing.T, s *server) {
	t.Helper()
	f.end(t)
	s.wantBalance()
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// end lets the fleet finish what it has sent and returns its ledger.
func (f *fleet) end(t testing.TB) simulate.Ledger {
	t.Helper()
	f.stop()
	<-f.done
	if f.err != nil {
		t.Errorf("fleet: %v", f.err)
	}
	if f.ledger.WrongAnswers > 0 {
		t.Errorf("%d wrong answers", f.ledger.WrongAnswers)
	}
	return f.ledger
}
