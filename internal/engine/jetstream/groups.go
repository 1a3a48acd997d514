package jetstream

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Consumers are shown, and are not worth a probe's failure: a user without the right to list them gets no answer. So
// the answer is not waited for as long as others, and after one that is missing nobody asks for a while.
const (
	groupPatience = 500 * time.Millisecond
	groupsPause   = time.Minute
)

// groupsOff is until when consumers are not asked for, in ns since 1970.
type groupsOff struct{ until atomic.Int64 }

func (o *groupsOff) on() bool { return time.Now().UnixNano() < o.until.Load() }
func (o *groupsOff) begin()   { o.until.Store(time.Now().Add(groupsPause).UnixNano()) }

// consumers are what a server says of those of a stream.
type consumers struct {
	All []struct {
		Config struct {
			Durable string `json:"durable_name"`
		} `json:"config"`
		Pending    int64 `json:"num_pending"`
		AckPending int64 `json:"num_ack_pending"`
		AckFloor   struct {
			Sequence uint64 `json:"stream_seq"`
		} `json:"ack_floor"`
	} `json:"consumers"`
}

// groups are the durable consumers of a shard's records by name.
func (e *Engine) groups(ctx context.Context, shard int) map[string]engine.Group {
	if e.noGroups.on() {
		return nil
	}
	question := &nats.Msg{Subject: "$JS.API.CONSUMER.LIST." + streamName(engine.KindRecord, shard)}
	answer, err := e.link.ask(ctx, question, groupPatience)
	var listed consumers
	if err == nil {
		err = json.Unmarshal(answer.Data, &listed)
	}
	if err != nil {
		e.noGroups.begin()
		return nil
	}
	all := map[string]engine.Group{}
	for _, c := range listed.All {
		if c.Config.Durable == "" || len(all) == engine.MaxGroups {
			continue
		}
		g := engine.Group{Lag: c.Pending, Unread: c.Pending + c.AckPending}
		if g.Unread > 0 {
			g.Oldest = e.ageBehind(ctx, shard, c.AckFloor.Sequence)
		}
		all[c.Config.Durable] = g
	}
	return all
}

// ageBehind is how long ago the first record behind a sequence was stored.
func (e *Engine) ageBehind(ctx context.Context, shard int, sequence uint64) time.Duration {
	r := reader{kind: engine.KindRecord, shard: shard, next: sequence + 1}
	page, _, err := e.page(ctx, &r, 1)
	if err != nil || len(page) == 0 {
		return 0
	}
	stored, err := time.Parse(time.RFC3339Nano, page[0].Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return 0
	}
	return max(0, time.Since(stored))
}

// addGroups adds a shard's consumers to those of the others, which have the same names.
func addGroups(to map[string]engine.Group, more map[string]engine.Group) map[string]engine.Group {
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if to == nil {
			to = map[string]engine.Group{}
		}
		g, known := to[name]
		if !known && len(to) == engine.MaxGroups {
			continue
		}
		one := more[name]
		to[name] = engine.Group{
			Lag: g.Lag + one.Lag, Unread: g.Unread + one.Unread, Oldest: max(g.Oldest, one.Oldest),
		}
	}
	return to
}
