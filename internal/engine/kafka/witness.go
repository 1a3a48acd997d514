package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Whoever remembers what was stored has to hear when it is gone: after the topic was deleted, records were deleted
// from it, or a broker that lacked them became the leader. When it is asked, a lane reads back where its records should
// be: the newest one, before which a log has no gaps, and the one that was the newest when it was last asked, so that
// what has been written since does not hide the loss. A record is ours if its batch has the producer's id that it was
// written with, which no other client of the cluster ever gets. A gap between those two the broker notices itself, by
// the numbers of our batches.

// witness is what a lane knows of a topic.
type witness struct {
	epoch uint64
	topic kadm.TopicID
	marks map[int32]*marks // of each partition that it has written to
}

type marks struct{ newest, verified mark }

// mark is where a record is.
type mark struct {
	offset   int64
	producer int64
	epoch    int16
	at       time.Time
}

// stored notes a record that the broker has stored in the topic. Its place must be behind all earlier ones.
func (w *witness) stored(topic kadm.TopicID, r *kgo.Record, at time.Time) {
	now := mark{r.Offset, r.ProducerID, r.ProducerEpoch, at}
	m := w.marks[r.Partition]
	if m != nil && (w.topic != topic || r.Offset <= m.newest.offset) {
		w.lose()
		m = nil
	}
	w.topic = topic
	if m == nil {
		m = &marks{verified: now}
		if w.marks == nil {
			w.marks = map[int32]*marks{}
		}
		w.marks[r.Partition] = m
	}
	m.newest = now
}

// lose begins another epoch.
func (w *witness) lose() {
	w.epoch++
	w.marks = nil
}

// verify finds out of the kinds whether what the lane has stored is still there.
func (l *lane) verify(ctx context.Context, kinds [engine.Kinds]bool) error {
	if kinds == [engine.Kinds]bool{} {
		return nil
	}
	now, err := l.e.ask(ctx)
	if err != nil {
		return err
	}
	if now.wrong != nil {
		return now.wrong
	}
	for k := range l.witness {
		if !kinds[k] || len(l.witness[k].marks) == 0 {
			continue
		}
		w, t := &l.witness[k], &now.topics[k]
		removed := false
		if engine.Kind(k) == engine.KindDeadLetter {
			if removed, err = w.removed(ctx, l.e, t); err != nil {
				return err
			}
		}
		there, err := w.verify(ctx, l.e, t)
		if err != nil {
			return err
		}
		if !there || removed {
			w.lose()
		}
	}
	return nil
}

func (w *witness) verify(ctx context.Context, e *Engine, t *topic) (there bool, err error) {
	if w.topic != t.id {
		return false, nil
	}
	for partition, m := range w.marks {
		if int(partition) >= len(t.partitions) {
			return false, nil
		}
		for _, at := range []mark{m.verified, m.newest} {
			if there, err := e.isThere(ctx, t, partition, at); !there || err != nil {
				return false, err
			}
			if m.verified == m.newest {
				break
			}
		}
		m.verified = m.newest
	}
	return true, nil
}

// removalBytes is how much of the topic is looked through for tombstones. Beyond it some may have been removed.
const removalBytes = 4 << 20

// removed reports whether dead letters of the lane may have been removed, by anybody, since it was last asked: whether
// there are tombstones behind the first of them.
func (w *witness) removed(ctx context.Context, e *Engine, t *topic) (bool, error) {
	if w.topic != t.id {
		return true, nil
	}
	all, err := e.cursors(ctx, engine.KindDeadLetter)
	if err != nil {
		return false, err
	}
	for _, c := range all {
		m := w.marks[c.partition]
		if m == nil {
			continue
		}
		left := removalBytes
		for c.next = max(c.next, m.verified.offset); ; c.page = c.page[1:] {
			r, err := c.head(ctx)
			if err != nil {
				return false, err
			}
			if r == nil {
				break
			}
			if left -= len(r.Value); r.Value == nil || left < 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

// retentionFloor is less than any topic keeps records: what is gone sooner was not deleted for its age.
const retentionFloor = time.Hour

// isThere reads the header of the batch at the mark's place from the partition's leader.
func (e *Engine) isThere(ctx context.Context, t *topic, partition int32, at mark) (bool, error) {
	p, err := e.fetch(ctx, t, partition, at.offset, 1)
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return p != nil && p.LogStartOffset > at.offset && time.Since(at.at) > retentionFloor, nil
	}
	if err != nil {
		return false, err
	}
	h, ok := parseBatchHeader(p.RecordBatches)
	return ok && h.first <= at.offset && at.offset <= h.last && h.producer == at.producer && h.epoch == at.epoch, nil
}

// batchHeader is what is asked of a stored batch.
//
//	0        8       12         16     17   21          23               27        35       43        51     53
//	first   length   leader's   magic  CRC  attributes  last offset −    times              producer  epoch  …
//	offset           epoch                              first
type batchHeader struct {
	first, last, producer int64
	epoch                 int16
}

const batchHeaderSize = 53

func parseBatchHeader(b []byte) (h batchHeader, ok bool) {
	if len(b) < batchHeaderSize || b[16] != 2 {
		return h, false
	}
	h.first = int64(binary.BigEndian.Uint64(b))
	h.last = h.first + int64(int32(binary.BigEndian.Uint32(b[23:])))
	h.producer = int64(binary.BigEndian.Uint64(b[43:]))
	h.epoch = int16(binary.BigEndian.Uint16(b[51:]))
	return h, true
}
