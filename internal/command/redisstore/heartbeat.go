package redisstore

import (
	"context"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// heart says every now and then that this instance lives and which devices are connected to it, and what changes of that at once.
type heart struct {
	store    *Store
	receiver command.Receiver
	next     time.Time // when it beats next
}

func (s *Store) beat(ctx context.Context, r command.Receiver) {
	h := heart{store: s, receiver: r}
	s.repeat(ctx, workBeat, s.sessions.wake, h.work)
}

func (h *heart) work(ctx context.Context) (time.Duration, error) {
	s := h.store
	if s.shaken.Swap(false) || !time.Now().Before(h.next) {
		if err := h.beat(ctx); err != nil {
			return 0, h.lost(err)
		}
		s.assert(h.receiver)
		h.next = time.Now().Add(s.opt.Timing.Heartbeat)
	}
	if err := s.writeSessions(ctx); err != nil {
		return 0, h.lost(err)
	}
	return time.Until(h.next), nil
}

// lost sees to it that everything is said again.
func (h *heart) lost(err error) error {
	h.store.reachedAt.Store(nil)
	h.next = time.Time{}
	return err
}

// beat is one heartbeat.
func (h *heart) beat(ctx context.Context) error {
	s := h.store
	asked := time.Now()
	answer, err := s.eval(ctx, scriptBeat, (3 * s.opt.Timing.Heartbeat).Milliseconds())
	if err != nil {
		return err
	}
	now := time.Now()
	if all := list(answer); len(all) == 2 {
		s.setClock(time.UnixMilli(number(all[1])), asked.Add(now.Sub(asked)/2))
		before, _ := all[0].(string)
		h.compare(before)
	}
	if s.reachedAt.Load() == nil {
		s.reachedAt.Store(&now)
	}
	return nil
}

// compare tells what it means whose heartbeat was there before.
func (h *heart) compare(before string) {
	s := h.store
	select {
	case <-s.present:
	default:
		close(s.present) // the first one
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

// setClock notes how far Redis' clock is from ours.
func (s *Store) setClock(redis, ours time.Time) {
	s.sessions.writing.Lock()
	defer s.sessions.writing.Unlock()
	s.sessions.offset = redis.Sub(ours)
}

// shake makes the heart beat at once, because Redis may have lost what it knew of this instance.
func (s *Store) shake() {
	s.shaken.Store(true)
	signal(s.sessions.wake)
}

// settled reports whether this process has been with Redis for so long that every other one that lives has been, too.
func (s *Store) settled() bool {
	since := s.reachedAt.Load()
	return since != nil && time.Since(*since) >= s.opt.Timing.Settling
}

// leavePatience bounds what an orderly end may take.
const leavePatience = 3 * time.Second

// leave makes known that this instance has ended, so that others need not wait until its heartbeat is missing.
func (s *Store) leave() {
	if s.reachedAt.Load() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
	defer cancel()
	s.sessions.abandon()
	err := s.writeSessions(ctx)
	if err == nil {
		_, err = s.eval(ctx, scriptFarewell)
	}
	if err != nil {
		s.opt.Logger.Warn("command store did not end in order, others find out by themselves", "error", err)
	}
}
