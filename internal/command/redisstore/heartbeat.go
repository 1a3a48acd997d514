package redisstore

import (
	"context"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// heartbeat says every now and then that this instance lives and which devices are connected to it, and what changes of
// that at once.
type heartbeat struct {
	store    *Store
	receiver command.Receiver
	next     time.Time // when it beats next
}

func (s *Store) beat(ctx context.Context, r command.Receiver) {
	h := heartbeat{store: s, receiver: r}
	s.repeat(ctx, workBeat, s.sessions.wake, h.work)
}

func (h *heartbeat) work(ctx context.Context) (time.Duration, error) {
	s := h.store
	if s.mustRegister.Swap(false) || !time.Now().Before(h.next) { // as after every failure
		if err := h.beat(ctx); err != nil {
			return 0, h.again(ctx, err)
		}
		if err := s.writeAll(ctx, h.receiver); err != nil {
			return 0, h.again(ctx, err)
		}
		h.next = time.Now().Add(s.opt.Timing.Heartbeat)
	}
	if err := s.writeSessions(ctx); err != nil {
		return 0, h.again(ctx, err)
	}
	s.sessions.closeTakenOver(h.receiver)
	return time.Until(h.next), nil
}

// again sees to it that everything is said again, unless it was our own end that broke it off.
func (h *heartbeat) again(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	h.store.reachedAt.Store(nil)
	h.next = time.Time{}
	return err
}

// beat is one heartbeat.
func (h *heartbeat) beat(ctx context.Context) error {
	s := h.store
	answer, err := s.eval(ctx, scriptBeat, (3 * s.opt.Timing.Heartbeat).Milliseconds())
	if err != nil {
		return err
	}
	if err := s.readClock(ctx); err != nil {
		return err
	}
	before, _ := answer.(string)
	h.compare(ctx, before)
	if now := time.Now(); s.reachedAt.Load() == nil {
		s.reachedAt.Store(&now)
	}
	return nil
}

// compare tells what it means whose heartbeat was there before.
func (h *heartbeat) compare(ctx context.Context, before string) {
	s := h.store
	select {
	case <-s.present:
	default:
		close(s.present) // the first one
		s.warnOfLoss(ctx)
		return
	}
	switch before {
	case s.runID:
	case "":
		s.opt.Logger.Info("redis had forgotten this instance, it is written down again", "instance", s.opt.Instance)
	default:
		s.opt.Logger.Warn("another process uses this instance id, commands fail", "instance", s.opt.Instance)
	}
}

// warnOfLoss says that Redis keeps commands in memory only. It says nothing if Redis does not tell.
func (s *Store) warnOfLoss(ctx context.Context) {
	if c, err := s.client.ConfigGet(ctx, "appendonly").Result(); err == nil && c["appendonly"] == "no" {
		s.opt.Logger.Warn("commands in redis do not survive its restart, appendonly is off")
	}
}

// readClock notes how far Redis' clock is from ours.
func (s *Store) readClock(ctx context.Context) error {
	offset, err := s.clockOffset(ctx)
	if err != nil {
		return err
	}
	s.sessions.writing.Lock()
	defer s.sessions.writing.Unlock()
	s.sessions.offset = offset
	return nil
}

// clockOffset asks over a connection that is open, because the time that opening one takes would make our logins look
// older than they are.
func (s *Store) clockOffset(ctx context.Context) (time.Duration, error) {
	asked := time.Now()
	redis, err := s.client.Time(ctx).Result()
	return redis.Sub(asked.Add(time.Since(asked) / 2)), err
}

// reregister makes the heart beat at once, because Redis may have lost what it knew of this instance.
func (s *Store) reregister() {
	s.mustRegister.Store(true)
	signal(s.sessions.wake)
}

// stable reports whether this process has been with Redis for so long that every other one that lives has been, too.
func (s *Store) stable() bool {
	since := s.reachedAt.Load()
	return since != nil && time.Since(*since) >= s.opt.Timing.Stabilization
}

// leaveTimeout bounds what an orderly end may take.
const leaveTimeout = time.Second

// leave makes known that this instance has ended, so that others need not wait until its heartbeat is missing.
func (s *Store) leave() {
	if s.reachedAt.Load() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	s.sessions.noteAllGone()
	err := s.writeSessions(ctx)
	if err == nil {
		t := s.opt.Timing
		_, err = s.eval(ctx, scriptDeregister, (t.Retire - t.Ended).Milliseconds())
	}
	if err != nil {
		s.opt.Logger.Warn("command store did not end in order, others find out by themselves", "error", err)
	}
}
