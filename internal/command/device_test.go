package command_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// The settings of the tests' dispatcher are the defaults of the real one.
var patience = command.Timeouts{Send: 5 * time.Second, Quarantine: time.Minute, Gap: 500 * time.Millisecond}

const commandTimeout = command.DefaultTimeout

// dispatcher is a running dispatcher over a real store.
type dispatcher struct {
	*command.Dispatcher
	testing.TB
	store    command.Store
	registry *prometheus.Registry
	stop     func()
}

// withDispatcher runs a test in virtual time: the store is real, but however slow its disk is, everything happens when
// it is to.
func withDispatcher(t *testing.T, test func(*dispatcher)) {
	t.Helper()
	withStore(t, func(s command.Store) command.Store { return s }, test)
}

// withStore is withDispatcher with something between the dispatcher and its store.
func withStore(t *testing.T, wrap func(command.Store) command.Store, test func(*dispatcher)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, dir, wrap)
		defer d.stop()
		test(d)
	})
}

func newDispatcher(t *testing.T, dir string, wrap func(command.Store) command.Store) *dispatcher {
	d := &dispatcher{TB: t, registry: prometheus.NewRegistry()}
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := sqlitestore.New(sqlitestore.Options{Dir: dir, Instance: "a", Logger: logger, Sweep: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	d.store = store
	d.Dispatcher = command.NewDispatcher(command.Options{
		Store: wrap(store), Policy: command.DefaultPolicy(), Timeouts: patience, Metrics: command.NewMetrics(d.registry),
		Logger: logger,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	d.stop = func() {
		cancel()
		<-ended
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	return d
}

// newCommand is a command of which its answer can be told.
func newCommand(imei, id string) command.Command {
	c := command.Command{ID: id, IMEI: imei, Payload: []byte("echo " + id), Timeout: commandTimeout}
	c.Complete(time.Now())
	return c
}

func (d *dispatcher) submit(c command.Command) {
	d.Helper()
	if err := c.Validate(); err != nil {
		d.Fatal(err)
	}
	if _, created, err := d.Submit(context.Background(), c, "test"); err != nil || !created {
		d.Fatalf("submit %s: created %v, %v", c.ID, created, err)
	}
}

// result waits for the command's final state.
func (d *dispatcher) result(id string) command.Entry {
	d.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	e, err := d.Await(ctx, command.Entry{Command: command.Command{ID: id}})
	if err != nil {
		d.Errorf("%s is %s: %v", id, e.State, err)
	}
	return e
}

// manner is how a device takes a command.
type manner int

const (
	answers      manner = iota
	answersLate         // after the timeout, and before the quarantine ends
	answersTwice        // both at once
	answersAfterReconnecting
	answersLateAfterReconnecting
	staysSilent
	chatters // messages of its own before the answer
	nacks    // Codec 14
	hangsUp  // and does not get it; it takes it when it is back
	manners  = iota
)

// want is the final state that follows.
func (m manner) want() command.State {
	switch m {
	case answersLate, answersLateAfterReconnecting, staysSilent:
		return command.TimedOut
	case nacks:
		return command.Nacked
	}
	return command.Answered
}

// late is how many late answers follow.
func (m manner) late() int {
	switch m {
	case answersLate, answersLateAfterReconnecting, answersTwice:
		return 1
	}
	return 0
}

var lastNumber atomic.Uint64

// nextNumber is a new login's.
func nextNumber() uint64 { return lastNumber.Add(1) }

// device is a scripted device with its connection.
type device struct {
	*dispatcher
	imei    string
	mu      sync.Mutex
	plan    map[string]manner // by command id
	got     map[string][]time.Time
	data    int // messages that are no answers
	line    *line
	pending sync.WaitGroup
}

// line is one of its connections.
type line struct {
	*device
	ended bool
}

func (d *dispatcher) newDevice(imei string) *device {
	dev := &device{dispatcher: d, imei: imei, plan: map[string]manner{}, got: map[string][]time.Time{}}
	dev.connect()
	return dev
}

func (d *device) connect() {
	d.mu.Lock()
	d.line = &line{device: d}
	l := d.line
	d.mu.Unlock()
	d.Connected(d.imei, nextNumber(), l)
}

func (d *device) disconnect() {
	d.mu.Lock()
	l := d.line
	l.ended = true
	d.mu.Unlock()
	d.Disconnected(d.imei, l)
}

// TakenOver implements command.Sender: the connection ends.
func (l *line) TakenOver() { l.disconnect() }

func (l *line) Dismiss() bool { l.disconnect(); return true }

var errHungUp = errors.New("hung up")

// Send implements command.Sender.
func (l *line) Send(ctx context.Context, frame []byte, _ *condition.Condition) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	f, _, err := teltonika.ParseFrame(frame, 65536)
	if err != nil {
		return time.Time{}, err
	}
	var messages teltonika.Messages
	if err := messages.Decode(f.Body()); err != nil {
		return time.Time{}, err
	}
	var id string
	if _, err := fmt.Sscanf(string(messages.Messages[0].Payload), "echo %s", &id); err != nil {
		return time.Time{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return time.Time{}, errHungUp
	}
	m := l.plan[id]
	if m == hangsUp {
		l.plan[id] = answers
		l.pending.Go(func() { l.disconnect(); l.connect() })
		return time.Time{}, errHungUp
	}
	written := time.Now()
	l.got[id] = append(l.got[id], written)
	l.pending.Go(func() { l.act(m, id, messages.Codec, rand.N(patience.Quarantine-time.Second)) })
	return written, nil
}

// act does what the device does with the command. delay is how late it is when it answers late.
func (d *device) act(m manner, id string, codec teltonika.Codec, delay time.Duration) {
	switch m {
	case answers:
		d.answer(codec, teltonika.TypeResponse, id)
	case answersTwice:
		d.answer(codec, teltonika.TypeResponse, id)
		d.answer(codec, teltonika.TypeResponse, id)
	case answersAfterReconnecting:
		d.disconnect()
		d.connect()
		d.answer(codec, teltonika.TypeResponse, id)
	case answersLate, answersLateAfterReconnecting:
		if e := d.result(id); e.State != command.TimedOut {
			return // the check of the result says so
		}
		if m == answersLateAfterReconnecting {
			d.disconnect()
			d.connect()
		}
		time.Sleep(delay)
		d.answer(codec, teltonika.TypeResponse, id)
	case chatters:
		d.say(teltonika.Codec12, teltonika.TypeCamera, "", []byte("picture"))
		d.say(teltonika.Codec15, teltonika.TypeResponse, d.imei, []byte("serial data"))
		d.say(teltonika.Codec14, teltonika.TypeResponse, "356307042441099", []byte("of another device"))
		d.answer(codec, teltonika.TypeResponse, id)
	case nacks:
		d.answer(codec, teltonika.TypeNack, id)
	}
}

func (d *device) answer(codec teltonika.Codec, kind byte, id string) bool {
	named := ""
	if codec == teltonika.Codec14 {
		named = d.imei
	}
	return d.say(codec, kind, named, []byte("answer to "+id))
}

// say does with a message what a session does, and reports whether it is the answer to a command.
func (d *device) say(codec teltonika.Codec, kind byte, named string, payload []byte) bool {
	m := command.Message{IMEI: d.imei, Codec: codec, Type: kind, Named: named, Payload: payload, Received: time.Now()}
	if m.MayAnswer() && d.Message(&m, true) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.data++
	return false
}

// metric is a counter's value.
func (d *dispatcher) metric(name, label string) int {
	d.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == label {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

// gauge is a gauge's value.
func (d *dispatcher) gauge(name string) float64 {
	families, err := d.registry.Gather()
	if err != nil {
		d.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	d.Fatalf("no %s", name)
	return 0
}

// Whatever devices do, each command is executed once at most and gets one final result, and an answer is never another
// command's.
func TestAnswersAreNeverMixedUp(t *testing.T) {
	withDispatcher(t, answersAreNeverMixedUp)
}

func answersAreNeverMixedUp(d *dispatcher) {
	const devices, commands = 24, 6
	seed := rand.Uint64()
	d.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	type sent struct {
		*device
		command.Command
		manner
	}
	var all []sent
	want, late, data := map[command.State]int{}, 0, 0
	for i := range devices {
		dev := d.newDevice(fmt.Sprintf("35630704244%04d", i))
		for j := range commands {
			m := manner(random.IntN(int(manners)))
			c := newCommand(dev.imei, fmt.Sprintf("%d-%d", i, j))
			c.Expires = c.Created.Add(24 * time.Hour)
			if m == nacks || random.IntN(3) == 0 {
				c.Codec = teltonika.Codec14
			}
			dev.plan[c.ID] = m
			want[m.want()]++
			late += m.late()
			if m == chatters {
				data += 3
			}
			all = append(all, sent{dev, c, m})
		}
	}
	for _, s := range all {
		d.submit(s.Command)
	}
	for _, s := range all {
		e := d.result(s.ID)
		if e.State != s.want() {
			d.Errorf("%s (manner %d) is %s: %s", s.ID, s.manner, e.State, e.Reason)
		}
		if e.State == command.Answered && string(e.Response) != "answer to "+s.ID {
			d.Errorf("%s has got %q", s.ID, e.Response)
		}
	}
	for _, s := range all {
		s.pending.Wait()
		s.mu.Lock()
		if n := len(s.got[s.ID]); n != 1 {
			d.Errorf("%s reached its device %d times", s.ID, n)
		}
		s.mu.Unlock()
	}
	testkit.Eventually(d, "all late answers are counted", func() bool {
		return d.metric("teltonika_device_messages_total", "late_answer") == late
	})
	seen := map[*device]bool{}
	for _, s := range all {
		if !seen[s.device] {
			data -= s.data
		}
		seen[s.device] = true
	}
	if data != -late {
		d.Errorf("of late answers and what is none, %d are not taken for data", data+late)
	}
	testkit.Eventually(d, "none is in hand", func() bool { return d.gauge("teltonika_commands_in_hand") == 0 })
	for _, s := range command.FinalStates {
		if n := d.metric("teltonika_commands_total", string(s)); n != want[s] {
			d.Errorf("%d commands counted as %s, want %d", n, s, want[s])
		}
	}
}
