package redisstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// layout is the number of shards as it stands beside the data, in the key <stream>:shards. With another number devices
// would be in other shards than before, and their records not in order any more.
type layout struct {
	e      *Engine
	key    string
	seat   *seat
	agreed atomic.Bool // it was the same when anybody last looked
}

func newLayout(e *Engine) *layout {
	key := e.opt.Stream + ":shards"
	return &layout{e: e, key: key, seat: e.cluster.seatOf(key)}
}

// agree makes sure that the number is ours, and writes it if there is none. Without a cluster there is nothing to it.
func (y *layout) agree(ctx context.Context) error {
	if y == nil || y.agreed.Load() {
		return nil
	}
	t, err := y.seat.term(ctx)
	if err != nil {
		return err
	}
	err = t.client.SetArgs(ctx, y.key, y.e.opt.Shards, redis.SetArgs{Mode: "NX"}).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	return y.look(ctx)
}

// look makes sure that the number is ours, or that there is none.
func (y *layout) look(ctx context.Context) error {
	if y == nil {
		return nil
	}
	t, err := y.seat.term(ctx)
	if err != nil {
		return err
	}
	text, err := t.client.Get(ctx, y.key).Result()
	switch {
	case errors.Is(err, redis.Nil):
		y.agreed.Store(false) // it is gone, or nothing was stored yet
		return nil
	case err != nil:
		return err
	case text != strconv.Itoa(y.e.opt.Shards):
		y.agreed.Store(false)
		return &engine.Error{Err: fmt.Errorf("%s says that the streams have %.20q shards, not %d: "+
			"set REDIS_SHARDS to that number", y.key, text, y.e.opt.Shards)}
	}
	y.agreed.Store(true)
	return nil
}

// settled is nil if whoever reads the shards finds all that is stored in them.
func (e *Engine) settled(ctx context.Context) error {
	if err := e.layout.look(ctx); err != nil {
		return e.shards[0].classify(err)
	}
	return nil
}
