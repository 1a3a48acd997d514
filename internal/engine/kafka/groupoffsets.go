package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// commit commits the offsets of a member. Its error is that of the first partition that failed.
func (e *Engine) commit(
	ctx context.Context, member *kgo.Client, topic string, offsets map[int32]kgo.EpochOffset,
) (committed map[int32]kgo.EpochOffset, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	answered := func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, failure error) {
		err = failure
		if failure != nil {
			return
		}
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				if refused := kerr.ErrorForCode(p.ErrorCode); refused != nil && err == nil {
					err = fmt.Errorf("commit of partition %d: %w", p.Partition, refused)
				}
			}
		}
	}
	member.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{topic: offsets}, answered)
	if err == nil {
		err = ctx.Err()
	}
	return offsets, err
}

// lagOf is how far a group is behind the ends of all partitions, and how old the oldest record is that it has not
// committed.
func (e *Engine) lagOf(ctx context.Context, group string) (engine.Group, error) {
	l, err := e.ask(ctx)
	if err != nil {
		return engine.Group{}, e.classify(err)
	}
	starts, ends, err := e.listOffsets(ctx)
	if err != nil {
		return engine.Group{}, e.classify(err)
	}
	read, err := e.admin.FetchOffsets(ctx, group)
	if err != nil {
		return engine.Group{}, e.classify(err)
	}
	var sum engine.Group
	topic := &l.topics[engine.KindRecord]
	for _, start := range starts[topic.name] {
		end, ok := ends.Lookup(topic.name, start.Partition)
		if !ok || start.Err != nil || end.Err != nil {
			continue
		}
		from := start.Offset
		if at, ok := read.Lookup(topic.name, start.Partition); ok && at.At > from {
			from = at.At
		}
		if end.Offset > from {
			sum.Unread += end.Offset - from
			sum.Oldest = max(sum.Oldest, e.ageAt(ctx, topic, from, end))
		}
	}
	sum.Lag = sum.Unread
	if sum.Unread > 0 && sum.Oldest == 0 {
		sum.Oldest = -1
	}
	return sum, nil
}

// ageAt is how long ago the record at an offset was stored, 0 if that cannot be found out.
func (e *Engine) ageAt(ctx context.Context, t *topic, offset int64, end kadm.ListedOffset) time.Duration {
	c := &cursor{e: e, topic: t, partition: end.Partition, next: offset, end: end.Offset}
	r, err := c.head(ctx)
	if err != nil || r == nil {
		return 0
	}
	return max(time.Millisecond, time.Since(r.Timestamp))
}
