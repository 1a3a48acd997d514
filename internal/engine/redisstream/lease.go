package redisstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// lease is by which one of many instances does what is to be done once for all of them: it trims the streams, and asks
// how much memory they take. It spares work and promises nothing: of two that both believe to hold it, because one was
// frozen or Redis has failed over, each trims what one of them may trim as well. So nothing here is atomic, and what
// Redis refuses, to this user or without memory, makes an instance work as if it were alone. It is not given back
// either: it expires soon.
//
// The key's value is what the holder knows of sizes, what it trims to, and who it is. The others show these sizes, so
// that the largest of all instances' figures is the right one. One that is to trim to something else takes no part.
type lease struct {
	shard   *shard
	key     string
	meant   string // what is trimmed to
	name    string // of this instance
	holding bool
}

// leaseTime is how long after its last round a holder counts as gone.
const leaseTime = 5 * trimEvery

func newLease(s *shard) *lease {
	return &lease{
		shard: s, key: leaseKey(s.stream), name: s.e.opt.ClientName + "-" + rand.Text(),
		meant: fmt.Sprintf("%d/%d/%d/%t", s.maxLen, s.dead.maxBytes, s.messages.maxBytes, s.e.opt.Recall),
	}
}

// leaseKey is in the slot of the streams that it is about.
func leaseKey(stream string) string { return stream + ":trimmer" }

// take takes the lease if nobody has it, and reports whether this instance is to do the work.
func (l *lease) take(ctx context.Context) (mine bool, err error) {
	l.holding = false
	var get *redis.StringCmd
	_, err = l.shard.client(ctx).Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Do(ctx, "SET", l.key, l.value(), "NX", "PX", leaseTime.Milliseconds())
		get = p.Get(ctx, l.key)
		return nil
	})
	if _, refused := asRefusal(err); refused {
		return true, nil
	}
	if err != nil && !errors.Is(err, redis.Nil) { // which says that somebody has it
		return false, err
	}
	var dead, messages int64
	var meant, holder string
	if _, err := fmt.Sscan(get.Val(), &dead, &messages, &meant, &holder); err != nil || meant != l.meant {
		return true, nil
	}
	if l.holding = holder == l.name; l.holding {
		return true, nil
	}
	l.shard.dead.learn(dead)
	l.shard.messages.learn(messages)
	return false, nil
}

// renew keeps a lease that is held, with the sizes of now.
func (l *lease) renew(ctx context.Context) error {
	if !l.holding {
		return nil
	}
	err := l.shard.client(ctx).Do(ctx, "SET", l.key, l.value(), "XX", "PX", leaseTime.Milliseconds()).Err()
	if _, refused := asRefusal(err); refused || errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

func (l *lease) value() string {
	return fmt.Sprint(l.shard.dead.known(), " ", l.shard.messages.known(), " ", l.meant, " ", l.name)
}
