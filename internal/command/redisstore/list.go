package redisstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// listed is a command on a list, by its place there.
type listed struct {
	id    string
	place int64
}

// List implements command.Store.
func (s *Store) List(ctx context.Context, q command.Query) (p command.Page, err error) {
	answer, err := s.eval(ctx, scriptList, q.IMEI, flag(q.Open), q.Before, q.Limit+1)
	if err != nil {
		return p, fmt.Errorf("list: %w", err)
	}
	found := listedOf(answer)
	for size := 0; len(found) > 0 && len(p.Entries) < q.Limit && size <= command.PageBytes; {
		n := min(len(found), q.Limit-len(p.Entries), listBatch)
		entries, err := s.lookupAll(ctx, found[:n])
		if err != nil {
			return p, fmt.Errorf("list: %w", err)
		}
		for i := range entries {
			size += entries[i].Size()
		}
		p.Entries, p.Next, found = append(p.Entries, entries...), found[n-1].place, found[n:]
	}
	if len(found) == 0 {
		p.Next = 0
	}
	return p, nil
}

// listBatch is how many commands one question reads, so that a page is not much larger than it may be.
const listBatch = 16

func listedOf(answer any) (all []listed) {
	flat := list(answer)
	for i := 0; i+1 < len(flat); i += 2 {
		id, _ := flat[i].(string)
		place, _ := flat[i+1].(string)
		n, _ := strconv.ParseInt(place, 10, 64)
		all = append(all, listed{id, n})
	}
	return all
}

// lookupAll returns the commands that are still there.
func (s *Store) lookupAll(ctx context.Context, all []listed) (entries []command.Entry, err error) {
	answers := make([]*redis.MapStringStringCmd, len(all))
	_, err = s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range all {
			answers[i] = pipe.HGetAll(ctx, commandKey(all[i].id))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		if f := fields(a.Val()); len(f) > 0 {
			entries = append(entries, f.entry())
		}
	}
	return entries, nil
}
