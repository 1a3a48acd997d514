package redisstream

import "context"

// recentEntries is how far a device's records are looked for from the ends of the streams: Redis has no index by
// device.
const recentEntries = 10_000

// LastRecords reads the records' streams backwards, a page at a time.
func (e *Engine) LastRecords(ctx context.Context, deviceID string, n int) (newest [][]byte, whole bool, err error) {
	whole = true
	for _, s := range e.shards { // all of a device's are in one
		found, all, err := s.lastRecords(ctx, deviceID, n, recentEntries/len(e.shards))
		if err != nil {
			return nil, false, err
		}
		newest, whole = append(newest, found...), whole && all
	}
	return newest, whole || len(newest) == n, nil
}

// lastRecords looks at so many entries at the most. whole: there are no more in the stream than were looked at.
func (s *shard) lastRecords(
	ctx context.Context, deviceID string, n, entries int,
) (newest [][]byte, whole bool, err error) {
	before := "+"
	for looked := 0; looked < entries; looked += tailPage {
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
