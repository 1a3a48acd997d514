package redisstream

import (
	"context"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// recentEntries is how far a device's records are looked for from the end of its stream: Redis has no index by
// device.
const recentEntries = 10_000

// LastRecords reads the stream of the device's shard backwards, a page at a time.
func (e *Engine) LastRecords(ctx context.Context, deviceID string, n int) (newest [][]byte, whole bool, err error) {
	if err := e.settled(ctx); err != nil {
		return nil, false, err
	}
	s, before := e.shards[engine.ShardOf(deviceID, len(e.shards))], "+"
	for looked := 0; looked < recentEntries; looked += tailPage {
		page, err := s.client(ctx).XRevRangeN(ctx, s.recordStream(), before, "-", tailPage).Result()
		if err != nil {
			return nil, false, s.classify(err)
		}
		for _, entry := range page {
			payload, ok := entry.Values["payload"].(string)
			if !ok || entry.Values["device_id"] != deviceID {
				continue
			}
			if newest = append(newest, []byte(payload)); len(newest) == n {
				return newest, true, nil
			}
		}
		if len(page) < tailPage {
			return newest, true, nil
		}
		before = "(" + page[len(page)-1].ID
	}
	return newest, false, nil
}
