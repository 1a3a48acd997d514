package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// janitor cleans up after instances that have died, and after the runs of this one before. Every instance does it; what
// it does it does only as long as the dead one stays dead, and any of it may be done by several.
type janitor struct {
	store    *Store
	receiver command.Receiver
	evicted  map[string]float64 // whose devices have been removed, by when it was last alive
}

func (s *Store) clean(ctx context.Context, r command.Receiver) {
	j := janitor{store: s, receiver: r, evicted: map[string]float64{}}
	s.repeat(ctx, workClean, nil, j.work)
}

func (j *janitor) work(ctx context.Context) (time.Duration, error) {
	s := j.store
	if err := j.evictOnce(ctx, s.opt.Instance, 0); err != nil {
		return 0, err
	}
	if !s.stable() {
		return s.opt.Timing.Janitor, errNotTried
	}
	if err := j.claim(ctx); err != nil {
		return 0, err
	}
	return s.opt.Timing.Janitor, j.cleanDead(ctx)
}

func (j *janitor) cleanDead(ctx context.Context) error {
	dead, err := j.dead(ctx)
	for _, d := range dead {
		if err == nil {
			err = j.cleanAfter(ctx, &d)
		}
	}
	return err
}

// deadInstance is an instance that has no heartbeat.
type deadInstance struct {
	instance  string
	lastAlive float64 // as commands:instances has it
	left      int64   // entries in its stream
	forget    bool    // it need not be remembered any more
}

// dead finds them, all in two questions however many there are.
func (j *janitor) dead(ctx context.Context) (all []deadInstance, err error) {
	s := j.store
	instances, err := s.client.ZRangeWithScores(ctx, instancesKey, 0, -1).Result()
	if err != nil {
		return nil, err
	}
	pipe := s.client.Pipeline()
	clock := pipe.Time(ctx)
	lives, left := make([]*redis.IntCmd, len(instances)), make([]*redis.IntCmd, len(instances))
	for i, z := range instances {
		instance, _ := z.Member.(string)
		lives[i], left[i] = pipe.Exists(ctx, heartbeatKey(instance)), pipe.XLen(ctx, outboundStream(instance))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	long := float64(clock.Val().Add(-s.opt.Timing.Retire).UnixMilli())
	for i, z := range instances {
		instance, _ := z.Member.(string)
		if instance != s.opt.Instance && lives[i].Val() == 0 {
			all = append(all, deadInstance{instance: instance, lastAlive: z.Score, left: left[i].Val(), forget: z.Score <= long})
		}
	}
	return all, nil
}

// cleanAfter removes what a dead instance owns: its devices first, so that nothing is routed to it any more.
func (j *janitor) cleanAfter(ctx context.Context, d *deadInstance) error {
	s := j.store
	if err := j.evictOnce(ctx, d.instance, d.lastAlive); err != nil {
		return err
	}
	if d.left > 0 {
		moved, err := j.moveOn(ctx, d.instance)
		if moved > 0 {
			s.metrics.takenOver.Add(float64(moved))
			s.opt.Logger.Info("commands of a dead instance moved on", "dead", d.instance, "commands", moved)
		}
		if err != nil {
			return err
		}
	}
	if !d.forget {
		return nil
	}
	answer, err := s.eval(ctx, scriptRetire, d.instance, s.opt.Timing.Retire.Milliseconds())
	if number(answer) == 1 {
		delete(j.evicted, d.instance)
	}
	return err
}

// evictOnce removes the devices of the instance's dead runs from the registry, unless that has been done since it was
// last alive.
func (j *janitor) evictOnce(ctx context.Context, instance string, lastAlive float64) error {
	if at, done := j.evicted[instance]; done && at == lastAlive {
		return nil
	}
	count, err := j.evict(ctx, instance)
	if count > 0 {
		j.store.opt.Logger.Info("devices of a dead instance removed from the registry", "dead", instance, "devices", count)
	}
	if err == nil {
		j.evicted[instance] = lastAlive
	}
	return err
}

// scanPage is about how many devices one look at the registry returns.
const scanPage = 1000

func (j *janitor) evict(ctx context.Context, instance string) (count int64, err error) {
	s := j.store
	for cursor := uint64(0); ; {
		page, next, err := s.client.HScan(ctx, registryKey, cursor, "", scanPage).Result()
		if err != nil {
			return count, err
		}
		args := []any{instance}
		for i := 0; i+1 < len(page); i += 2 {
			if page[i+1] == instance {
				args = append(args, page[i])
			}
		}
		if len(args) > 1 {
			answer, err := s.eval(ctx, scriptEvict, args...)
			if err != nil {
				return count, err
			}
			count += number(answer)
		}
		if cursor = next; cursor == 0 {
			return count, nil
		}
	}
}

// moveOn routes what is left in the dead instance's stream. What may have been sent and must not be sent again stays
// there until its time is over.
func (j *janitor) moveOn(ctx context.Context, dead string) (moved int, err error) {
	s := j.store
	stream := outboundStream(dead)
	for after := "-"; ; {
		page, err := s.client.XRangeN(ctx, stream, after, "+", readBatch).Result()
		if err != nil {
			return moved, err
		}
		for _, m := range page {
			done, err := j.move(ctx, stream, dead, m)
			if err != nil {
				return moved, err
			}
			if done {
				moved++
			}
		}
		if len(page) < readBatch {
			return moved, nil
		}
		after = "(" + page[len(page)-1].ID
	}
}

func (j *janitor) move(ctx context.Context, stream, dead string, m redis.XMessage) (bool, error) {
	in := parseInbound(m)
	if in.err != nil || in.cancel || in.older != "" {
		return false, j.store.handle(ctx, j.receiver, stream, m)
	}
	return j.store.route(ctx, j.receiver, stream, m.ID, dead, &in)
}

// claim takes over what readers of the inbox have taken and not done.
func (j *janitor) claim(ctx context.Context) error {
	s := j.store
	for start := "0-0"; ; {
		entries, next, err := s.client.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: inboxStream, Group: group, Consumer: s.opt.Instance,
			MinIdle: s.opt.Timing.Claim, Start: start, Count: readBatch,
		}).Result()
		if streamGone(err) || errors.Is(err, redis.Nil) {
			return nil // the reader makes the group
		}
		if err != nil {
			return err
		}
		for _, m := range entries {
			if err := s.handle(ctx, j.receiver, inboxStream, m); err != nil {
				return err
			}
		}
		if start = next; start == "0-0" {
			return nil
		}
	}
}
