package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// pageBytes is how much of a partition is read at once. One batch is always read whole.
const pageBytes = 64 << 10

// fetch reads from the partition's leader what is there from offset on, which begins with the batch that has the record
// at offset.
func (e *Engine) fetch(
	ctx context.Context, t *topic, partition int32, offset int64, most int32,
) (*kmsg.FetchResponseTopicPartition, error) {
	leader := t.partitions[partition].leader
	if leader < 0 {
		return nil, fmt.Errorf("partition %d of the topic %s: %w", partition, t.name, kerr.LeaderNotAvailable)
	}
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes, part.CurrentLeaderEpoch = partition, offset, most, -1
	of := kmsg.NewFetchRequestTopic()
	of.Topic, of.TopicID, of.Partitions = t.name, t.id, []kmsg.FetchRequestTopicPartition{part}
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch, req.Topics = most, -1, []kmsg.FetchRequestTopic{of}
	answer, err := e.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("kafka answered a fetch without the partition")
	}
	p := &resp.Topics[0].Partitions[0]
	return p, kerr.ErrorForCode(p.ErrorCode)
}

// cursor reads a partition up to what was its end. It cannot wait for records that have been compacted away.
type cursor struct {
	e         *Engine
	topic     *topic
	partition int32
	next, end int64
	page      []*kgo.Record
}

// cursors are those of all partitions of the topic that have records.
func (e *Engine) cursors(ctx context.Context, k engine.Kind) ([]*cursor, error) {
	l, err := e.ask(ctx)
	if err != nil {
		return nil, err
	}
	t := &l.topics[k]
	if len(t.partitions) == 0 {
		return nil, l.wrong
	}
	first, err := e.admin.ListStartOffsets(ctx, t.name)
	if err == nil {
		err = first.Error()
	}
	if err != nil {
		return nil, err
	}
	end, err := e.admin.ListEndOffsets(ctx, t.name)
	if err == nil {
		err = end.Error()
	}
	if err != nil {
		return nil, err
	}
	var all []*cursor
	for i := range t.partitions {
		start, _ := first.Lookup(t.name, int32(i))
		stop, _ := end.Lookup(t.name, int32(i))
		all = append(all, &cursor{e: e, topic: t, partition: int32(i), next: start.Offset, end: stop.Offset})
	}
	return all, nil
}

// head is the next record, nil after the last one.
func (c *cursor) head(ctx context.Context) (*kgo.Record, error) {
	for len(c.page) == 0 && c.next < c.end {
		p, err := c.e.fetch(ctx, c.topic, c.partition, c.next, pageBytes)
		if errors.Is(err, kerr.OffsetOutOfRange) && p.LogStartOffset > c.next {
			c.next = p.LogStartOffset // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		opts := kgo.ProcessFetchPartitionOpts{Topic: c.topic.name, Partition: c.partition, Offset: c.next}
		read, next := kgo.ProcessFetchPartition(opts, p, kgo.DefaultDecompressor(), nil)
		if read.Err != nil {
			return nil, read.Err
		}
		if next <= c.next {
			return nil, nil // nothing more: the rest was compacted away
		}
		c.page, c.next = read.Records, next
	}
	if len(c.page) == 0 || c.page[0].Offset >= c.end {
		return nil, nil
	}
	return c.page[0], nil
}

// each calls fn with the records of all cursors, the oldest one first.
func each(ctx context.Context, all []*cursor, fn func(*kgo.Record) error) error {
	for {
		var oldest *cursor
		for _, c := range all {
			r, err := c.head(ctx)
			if err != nil {
				return err
			}
			if r != nil && (oldest == nil || r.Timestamp.Before(oldest.page[0].Timestamp)) {
				oldest = c
			}
		}
		if oldest == nil {
			return nil
		}
		r := oldest.page[0]
		oldest.page = oldest.page[1:]
		if err := fn(r); err != nil {
			return err
		}
	}
}

// eachOf calls fn with every record of the kind's topic, oldest first. Its error is fn's, ctx's or an *engine.Error.
func (e *Engine) eachOf(ctx context.Context, k engine.Kind, fn func(*kgo.Record) error) error {
	all, err := e.cursors(ctx, k)
	var own error
	if err == nil {
		err = each(ctx, all, func(r *kgo.Record) error {
			if own = ctx.Err(); own == nil {
				own = fn(r)
			}
			return own
		})
	}
	switch {
	case err == nil || own != nil:
		return own
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return e.classify(err)
}

// EachRecord calls fn with the payload of every record, oldest first. Its ref is where it is in the topic of that id.
func (e *Engine) EachRecord(ctx context.Context, fn func(ref string, payload []byte) error) error {
	return e.eachOf(ctx, engine.KindRecord, func(r *kgo.Record) error {
		id := e.layout.Load().topics[engine.KindRecord].id
		return fn(fmt.Sprintf("%s-%d-%d", id, r.Partition, r.Offset), r.Value)
	})
}
