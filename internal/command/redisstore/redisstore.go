// Package redisstore keeps commands in Redis, for any number of instances that share it. The README beside it says
// which keys it uses and what other programs may read and write there.
//
// Every transition of a command is one Lua script, and every script may be repeated: so a command has one final result
// whoever asks for it at the same time, and a call whose answer was lost is simply made again. Redis' clock is the only
// one that counts.
package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/redisdial"
)

// Names in Redis that other programs use. Those that only the scripts use stand in scripts/prelude.lua.
const (
	inboxStream  = "commands:inbox"
	registryKey  = "connections:registry"
	instancesKey = "commands:instances"
	group        = "tcp-ingestion"
)

func outboundStream(instance string) string { return "commands:outbound:" + instance }
func heartbeatKey(instance string) string   { return "instance:heartbeat:" + instance }
func commandKey(id string) string           { return "commands:command:" + id }

// Options are the store's settings.
type Options struct {
	URL      string // redis:// or rediss:// (TLS), with user, password and database if needed
	Instance string // 1 to 64 letters, digits, dots, dashes and underscores; no two living processes have the same
	Events   string // the stream of events; commands:events if empty
	Logger   *slog.Logger
	Metrics  prometheus.Registerer // nil for none
	Timing   Timing
	MaxOpen  int // commands without a final state, in Redis as a whole; command.MaxOpen if it is 0
}

// Timing is how often things are done and how long they take. What is zero gets the value given here.
type Timing struct {
	Heartbeat     time.Duration // between heartbeats, which are believed for 3 times as long (30 s)
	Stabilization time.Duration // with Redis, before a missing heartbeat of another instance means its death (60 s)
	Sweep         time.Duration // between looks at commands that are due (1 s)
	Grace         time.Duration // how long after its deadline whoever has sent a command must end it (2 s)
	Janitor       time.Duration // between looks at what dead instances have left (10 s)
	Claim         time.Duration // how long an entry of the inbox may be in one reader's hands (60 s)
	Retire        time.Duration // for how long a dead instance is remembered at least (1 h)
	Ended         time.Duration // for how long one is that has ended in order (60 s)
	MaxRetry      time.Duration // longest pause between attempts of what fails (5 s)
}

func (t Timing) complete() Timing {
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&t.Heartbeat, 30 * time.Second}, {&t.Stabilization, 60 * time.Second},
		{&t.Sweep, time.Second}, {&t.Grace, 2 * time.Second},
		{&t.Janitor, 10 * time.Second}, {&t.Claim, 60 * time.Second}, {&t.Retire, time.Hour}, {&t.Ended, 60 * time.Second},
		{&t.MaxRetry, 5 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	return t
}

// poolSize is how many calls are under way at once; more wait for one another.
const poolSize = 16

// Store is a command.Store.
type Store struct {
	opt      Options
	client   *redis.Client
	blocking *redis.Client // waits for new entries, and is closed to end that
	metrics  *metrics
	runID    string // of this process; no other one ever has it
	sessions sessions
	tokens   *command.Tokens

	present      chan struct{}             // closed at the first heartbeat
	mustRegister atomic.Bool               // Redis may have lost what it knew of this instance
	reachedAt    atomic.Pointer[time.Time] // since when the heartbeats get through; nil while they do not
}

var _ command.Store = (*Store)(nil)

// New returns the store. It does not connect: Redis may be away, now and at any time. The error is about the options,
// and never quotes the URL.
func New(o Options) (*Store, error) {
	if o.Instance == "" {
		return nil, errors.New("the command store needs an instance id")
	}
	target, err := redisdial.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("command store: %w", err)
	}
	if o.Events == "" {
		o.Events = "commands:events"
	}
	o.Timing, o.MaxOpen = o.Timing.complete(), cmp.Or(o.MaxOpen, command.MaxOpen)
	target.Named("tcp-ingestion-commands").Server.PoolSize = poolSize
	client := target.Client()
	target.Server.PoolSize = 1
	s := &Store{
		opt: o, client: client, blocking: target.Client(),
		metrics: newMetrics(o.Metrics), runID: newRunID(),
		present: make(chan struct{}), sessions: newSessions(),
	}
	s.tokens = command.NewTokens(s.runID)
	return s, nil
}

// newRunID is 16 hex digits. Tokens end with it, and so it has no dash.
func newRunID() string {
	var b [8]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x", b)
}

// Err implements command.Store.
func (s *Store) Err() error {
	if s.reachedAt.Load() == nil {
		return errors.New("redis does not take this instance's heartbeats")
	}
	return nil
}

// Shared implements command.Store.
func (s *Store) Shared() bool { return true }

// Close implements command.Store.
func (s *Store) Close() error {
	if err := s.blocking.Close(); err != nil && !errors.Is(err, redis.ErrClosed) { // Run has closed it
		_ = s.client.Close()
		return err
	}
	return s.client.Close()
}

// Run implements command.Store.
func (s *Store) Run(ctx context.Context, r command.Receiver) {
	var running sync.WaitGroup
	start := func(work func(context.Context, command.Receiver)) {
		running.Go(func() {
			defer logging.ExitOnPanic(s.opt.Logger)
			work(ctx, r)
		})
	}
	start(s.beat)
	select {
	case <-s.present: // before anybody hands us a command, and before others think that the one before us is dead
		start(s.read)
		start(s.sweep)
		start(s.clean)
	case <-ctx.Done():
	}
	running.Wait()
	s.leave()
}

// errNotTried is what work returns that has not asked Redis for all that it is there for. It is neither a failure nor a
// success.
var errNotTried = errors.New("not tried")

// failureEvery is how often a failure that goes on is logged.
const failureEvery = time.Minute

// How long repeat waits after a first failure. It doubles, up to Timing.MaxRetry.
const firstRetry = 50 * time.Millisecond

// repeat does the work again and again until ctx ends: after the pause that it returns, or sooner when it is woken;
// after a failure when the back-off says so.
func (s *Store) repeat(
	ctx context.Context, what string, wake <-chan struct{}, work func(context.Context) (time.Duration, error),
) {
	state := health.Health{Every: failureEvery}
	retry := backoff.Backoff{First: firstRetry, Max: s.opt.Timing.MaxRetry}
	for ctx.Err() == nil {
		pause, err := work(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, errNotTried):
			sleep(ctx, pause, wake)
		case err == nil:
			s.worked(what, &state)
			retry.Reset()
			sleep(ctx, pause, wake)
		default:
			s.failed(what, &state, err)
			retry.Wait(ctx)
		}
	}
}

func (s *Store) worked(what string, h *health.Health) {
	if ended := h.Worked(); ended != nil {
		s.opt.Logger.Info("command store works again", "work", what, "after", ended.Lasted(), "failures", ended.Count)
	}
}

func (s *Store) failed(what string, h *health.Health, err error) {
	s.metrics.failures.WithLabelValues(what).Inc()
	if f, due := h.Failed(err); due {
		s.opt.Logger.Warn("command store does not work, trying again", "work", what, "failures", f.Count, "error", err)
	}
}

// sleep waits for d at most: less when it is woken or ctx ends.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// signal wakes whoever waits for it, now or later.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
