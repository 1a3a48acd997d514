package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// EachDeadLetter reads the topic twice: which keys have a tombstone, then the dead letters of the others.
func (e *Engine) EachDeadLetter(ctx context.Context, fn func(ref string, d engine.DeadLetter) error) error {
	removed := map[string]bool{}
	err := e.eachOf(ctx, engine.KindDeadLetter, func(r *kgo.Record) error {
		if r.Value == nil {
			removed[string(r.Key)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	parts := map[string][]byte{} // of dead letters of which some parts have come
	return e.eachOf(ctx, engine.KindDeadLetter, func(r *kgo.Record) error {
		ref, frame, complete := assemble(parts, r)
		if !complete || removed[ref] {
			return nil
		}
		received, err := time.Parse(timeLayout, header(r, headerTime))
		if err != nil {
			return nil // not one of ours
		}
		return fn(ref, engine.DeadLetter{
			DeviceID: header(r, headerDevice), Codec: header(r, headerCodec), Reason: header(r, headerReason),
			Received: received, Transport: header(r, headerTransport), Frame: frame,
		})
	})
}

// assemble takes a record of the topic and returns the dead letter's ref and frame when all of it has come.
func assemble(parts map[string][]byte, r *kgo.Record) (name string, frame []byte, complete bool) {
	frame, err := hex.DecodeString(string(r.Value))
	if r.Value == nil || err != nil {
		return "", nil, false
	}
	n, of := 1, 1
	if part := header(r, headerPart); part != "" {
		if _, err := fmt.Sscanf(part, "%d/%d", &n, &of); err != nil {
			return "", nil, false
		}
	}
	name = string(r.Key)
	if n > 1 {
		name = name[:max(0, len(name)-len(fmt.Sprintf("/%d", n)))]
	}
	if _, ok := parseRef(name); !ok {
		return "", nil, false
	}
	if of == 1 {
		return name, frame, true
	}
	if n == 1 {
		parts[name] = nil
	}
	parts[name] = append(parts[name], frame...)
	if n < of {
		return name, nil, false
	}
	frame = parts[name]
	delete(parts, name)
	return name, frame, true
}

// RemoveDeadLetters writes a tombstone for each part. Kafka's compaction then removes both.
func (e *Engine) RemoveDeadLetters(ctx context.Context, names []string) error {
	tombstones, err := e.tombstones(names)
	if err != nil || len(tombstones) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	now, err := e.current(ctx)
	if err != nil {
		return e.classify(err)
	}
	partitions := len(now.topics[engine.KindDeadLetter].partitions)
	for _, r := range tombstones {
		if int(r.Partition) >= partitions {
			return &engine.Error{Err: fmt.Errorf("dead letter %s: the topic has no partition %d", r.Key, r.Partition)}
		}
	}
	// One that is written after all is what was asked for, so the wait ends with ctx and the write does not.
	seen := e.renewed[engine.KindDeadLetter].Load()
	done := make(chan error, 1)
	e.following.Go(func() { done <- e.client.ProduceSync(context.Background(), tombstones...).FirstErr() })
	select {
	case err = <-done:
	case <-ctx.Done():
		return &engine.Error{Transient: true, Ambiguous: true, Err: ended(ctx, "no answer of kafka yet")}
	}
	if errors.Is(err, kerr.UnknownTopicID) {
		e.renew(engine.KindDeadLetter, seen)
	}
	if err != nil {
		return e.classify(err)
	}
	return nil
}

func (e *Engine) tombstones(names []string) (all []*kgo.Record, err error) {
	for _, name := range names {
		ref, ok := parseRef(name)
		if !ok {
			return nil, &engine.Error{Err: fmt.Errorf(
				"%q is no dead letter's reference, which looks like 3-0123456789abcdef-000000000001", name)}
		}
		for n := range ref.parts {
			all = append(all, &kgo.Record{
				Topic: e.topics[engine.KindDeadLetter], Partition: ref.partition, Key: []byte(ref.key(n)), Timestamp: time.Now(),
			})
		}
	}
	return all, nil
}
