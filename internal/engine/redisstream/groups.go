package redisstream

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// group is what XINFO GROUPS says of one consumer group.
type group struct {
	name      string
	delivered string // the id of the last entry delivered
	pending   int64  // entries delivered and not acknowledged
	lag       int64  // entries not delivered; -1 = Redis does not know, as before 7.0
}

// unread is how many entries the group has not acknowledged, -1 if that is not known.
func (g group) unread() int64 {
	if g.lag < 0 {
		return -1
	}
	return g.lag + g.pending
}

// parseGroups reads XINFO GROUPS: for each group a list of names and values in turn.
func parseGroups(answer any) []group {
	var all []group
	list, _ := answer.([]any)
	for _, one := range list {
		fields, _ := one.([]any)
		g := group{lag: -1}
		for i := 0; i+1 < len(fields); i += 2 {
			switch fields[i] {
			case "name":
				g.name, _ = fields[i+1].(string)
			case "last-delivered-id":
				g.delivered, _ = fields[i+1].(string)
			case "pending":
				g.pending, _ = fields[i+1].(int64)
			case "lag":
				if lag, known := fields[i+1].(int64); known {
					g.lag = lag
				}
			}
		}
		all = append(all, g)
	}
	return all
}

// groups finds out how far the consumer groups have got, and how old what they have not read is,
// by the clock of Redis, which made the ids.
func (s *shard) groups(ctx context.Context, q question) (map[string]engine.Group, error) {
	groups := parseGroups(q.groups.Val())
	if len(groups) == 0 {
		return nil, nil
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.name, b.name) })
	groups = groups[:min(len(groups), engine.MaxGroups)]
	oldest, err := s.oldestUnread(ctx, groups)
	if err != nil {
		return nil, err
	}
	now := q.now.Val()
	if now.IsZero() { // this user may not ask for it
		now = time.Now()
	}
	all := make(map[string]engine.Group, len(groups))
	for i, g := range groups {
		status := engine.Group{Lag: g.lag, Unread: g.unread()}
		if oldest[i] != (streamID{}) {
			status.Oldest = max(time.Millisecond, now.Sub(time.UnixMilli(int64(oldest[i].ms))))
		}
		all[g.name] = status
	}
	return all, nil
}

// oldestUnread is, for each group, the id of the oldest entry that it has not acknowledged: the
// first one pending, else the first one not delivered. The zero id says that there is none, or
// that Redis does not let us see it.
func (s *shard) oldestUnread(ctx context.Context, groups []group) ([]streamID, error) {
	pending := make([]*redis.XPendingCmd, len(groups))
	next := make([]*redis.XMessageSliceCmd, len(groups))
	_, err := s.client(ctx).Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, g := range groups {
			pending[i] = p.XPending(ctx, s.stream, g.name)
			next[i] = p.XRangeN(ctx, s.stream, "("+g.delivered, "+", 1)
		}
		return nil
	})
	if _, answered := asRefusal(err); err != nil && !answered {
		return nil, err
	}
	oldest := make([]streamID, len(groups))
	for i := range groups {
		first := ""
		if entries := next[i].Val(); len(entries) > 0 {
			first = entries[0].ID
		}
		if summary := pending[i].Val(); summary != nil && summary.Count > 0 {
			first = summary.Lower
		}
		if first == "" {
			continue
		}
		if oldest[i], err = parseStreamID(first); err != nil {
			return nil, err
		}
	}
	return oldest, nil
}
