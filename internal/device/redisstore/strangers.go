package redisstore

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// strangersKey is the hash of strangers, by id; strangersOrder the sorted set of the ids, by when they last knocked in
// ms since 1970 by the instances' clocks.
const (
	strangersKey   = "devices:strangers"
	strangersOrder = "devices:strangers:order"
)

//go:embed strangers.lua
var strangersScript string

var saveStrangers = redis.NewScript(strangersScript)

var _ stranger.Store = (*Store)(nil)

// SaveStrangers implements stranger.Store.
func (s *Store) SaveStrangers(ctx context.Context, changed []stranger.Kept, gone []string) error {
	args := make([]any, 0, 3+len(gone)+3*len(changed))
	args = append(args, device.MaxKeep.Milliseconds(), stranger.Size, len(gone))
	for _, id := range gone {
		args = append(args, id)
	}
	for _, k := range changed {
		args = append(args, k.ID, k.At.UnixMilli(), k.JSON)
	}
	return saveStrangers.Run(ctx, s.client, []string{strangersKey, strangersOrder}, args...).Err()
}

// LoadStrangers implements stranger.Store.
func (s *Store) LoadStrangers(ctx context.Context) (all []stranger.Kept, err error) {
	ids, err := s.client.ZRangeWithScores(ctx, strangersOrder, 0, stranger.Size-1).Result()
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	fields := make([]string, len(ids))
	for i := range ids {
		fields[i], _ = ids[i].Member.(string)
	}
	texts, err := s.client.HMGet(ctx, strangersKey, fields...).Result()
	if err != nil {
		return nil, err
	}
	for i, text := range texts {
		if json, ok := text.(string); ok {
			all = append(all, stranger.Kept{ID: fields[i], At: time.UnixMilli(int64(ids[i].Score)), JSON: []byte(json)})
		}
	}
	return all, nil
}
