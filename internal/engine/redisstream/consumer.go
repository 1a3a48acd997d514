package redisstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// How a consumer looks for entries: often, because it must not wait for them while another process may take its turn.
const (
	consumerPause = 100 * time.Millisecond
	turnRenewal   = turnTime / 3
)

// Consumer makes a member of the consumer group of that name, in every shard. All members read as one consumer of
// Redis, in turn: what a dead one has not acknowledged is the next one's.
func (e *Engine) Consumer(_ context.Context, group string) (engine.Consumer, error) {
	if !engine.ValidGroup(group) {
		return nil, &engine.Error{Err: fmt.Errorf("%q is no name of a group", group)}
	}
	c := &consumer{e: e}
	member := e.opt.ClientName + "-" + rand.Text()
	for _, s := range e.shards {
		c.readers = append(c.readers, newGroupReader(s, group, member))
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.renewing.Go(func() { c.renew(ctx) })
	return c, nil
}

// consumer reads the shards, each while it is its turn there.
type consumer struct {
	e        *Engine
	readers  []*groupReader
	first    int // whose turn it is to be read first
	stop     context.CancelFunc
	renewing sync.WaitGroup
}

// Next looks at the shards until one has entries. It fails only if none can be read.
func (c *consumer) Next(ctx context.Context, n int, wait time.Duration) ([][]byte, error) {
	deadline := time.Now().Add(wait)
	for {
		payloads, err := c.look(ctx, n)
		if errors.Is(err, errLost) {
			return nil, err
		}
		waits := err == nil && len(payloads) == 0 || errors.Is(err, engine.ErrTurn)
		left := time.Until(deadline)
		if ctx.Err() != nil && len(payloads) == 0 {
			return nil, ctx.Err()
		}
		if !waits || left <= 0 {
			return payloads, err
		}
		pause(ctx, min(left, consumerPause))
	}
}

// look reads what is there now, of another shard first each time.
func (c *consumer) look(ctx context.Context, n int) (payloads [][]byte, err error) {
	if err := c.e.settled(ctx); err != nil {
		return nil, c.readers[0].shard.classify(err)
	}
	readable := false
	var failure, notOurs error
	for i := range c.readers {
		r := c.readers[(c.first+i)%len(c.readers)]
		page, err := r.read(ctx, n-len(payloads))
		switch {
		case errors.Is(err, errLost):
			c.rewind()
			return nil, err
		case errors.Is(err, engine.ErrTurn):
			notOurs = err
		case err != nil:
			failure = r.note(err, len(c.readers) > 1)
		default:
			readable = true
			r.noteWell()
		}
		if payloads = append(payloads, page...); len(payloads) == n {
			break
		}
	}
	c.first++
	switch {
	case readable:
		return payloads, nil
	case notOurs != nil && !c.inHand():
		return nil, notOurs
	case failure == nil:
		return nil, nil
	}
	return nil, failure
}

// rewind drops what is in hand of all shards: it was to be delivered together.
func (c *consumer) rewind() {
	for _, r := range c.readers {
		r.rewind()
	}
}

// inHand reports whether something is to be committed: it is of shards whose turn is not lost.
func (c *consumer) inHand() bool {
	return slices.ContainsFunc(c.readers, func(r *groupReader) bool { return len(r.given) > 0 })
}

// Commit acknowledges what was given. Whoever's turn it is by now: it was delivered.
func (c *consumer) Commit(ctx context.Context) error {
	var failed []error
	for _, r := range c.readers {
		if err := r.acknowledge(ctx); err != nil {
			failed = append(failed, r.shard.classify(err))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return failed[0]
}

// Holds takes the turns of what is in hand anew. One that has ended is still ours if nobody has had it since.
func (c *consumer) Holds(ctx context.Context) error {
	for _, r := range c.readers {
		if len(r.given) == 0 {
			continue
		}
		r.sure = false
		if err := r.take(ctx); errors.Is(err, errLost) {
			c.rewind()
			return err
		} else if err != nil {
			return r.shard.classify(err)
		}
	}
	return nil
}

// Lag adds up the shards.
func (c *consumer) Lag(ctx context.Context) (engine.Group, error) {
	var sum engine.Group
	for _, r := range c.readers {
		one, err := r.lag(ctx)
		if err != nil {
			return sum, r.shard.classify(err)
		}
		sum.Expired += one.Expired
		sum.Lag, sum.Unread = added(sum.Lag, one.Lag), added(sum.Unread, one.Unread)
		if sum.Oldest = max(sum.Oldest, one.Oldest); sum.Unread == 0 {
			sum.Oldest = 0
		}
	}
	return sum, nil
}

// added is a sum of which a part may be unknown, -1.
func added(a, b int64) int64 {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

// renew keeps the turns while the process lives, however long a delivery takes.
func (c *consumer) renew(ctx context.Context) {
	for pause(ctx, turnRenewal) {
		for _, r := range c.readers {
			r.renew(ctx)
		}
	}
}

// Close gives the turns back.
func (c *consumer) Close() error {
	c.stop()
	c.renewing.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	for _, r := range c.readers {
		r.giveBack(ctx)
	}
	return nil
}
