package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// probeTimeout is how long a probe waits for brokers. Those that are gone are what it is to find out.
const probeTimeout = 3 * time.Second

// Probe asks who leads each partition, whether enough replicas follow, and the leaders themselves how many records they
// have. The partitions of the topic of records are the shards.
func (e *Engine) Probe(ctx context.Context) (engine.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var l *layout
	if err := e.insist(ctx, func() (err error) { l, err = e.ask(ctx); return err }); err != nil {
		return engine.Status{}, e.classify(err)
	}
	if l.wrong != nil {
		return engine.Status{}, e.classify(l.wrong)
	}
	var starts, ends kadm.ListedOffsets
	err := e.insist(ctx, func() (err error) { starts, ends, err = e.listOffsets(ctx); return err })
	if err != nil {
		return engine.Status{}, e.classify(err)
	}
	status := engine.Status{Known: true, LostByEngine: e.losses.Load(), Shards: e.shardsOf(l, starts, ends)}
	stores := false
	var failed error
	for _, s := range status.Shards {
		status.Length += s.Length
		stores = stores || s.Err == nil
		if s.Err != nil && failed == nil {
			failed = fmt.Errorf("partition %s: %w", s.Name, s.Err)
		}
	}
	if !stores {
		return status, e.classify(failed)
	}
	status.Groups = e.groups(ctx, starts, ends)
	return status, nil
}

// insistence is how long a question is repeated: the broker that was asked may have died just now, and another answers.
const insistence = time.Second

// insist repeats the question while its failure is transient.
func (e *Engine) insist(ctx context.Context, ask func() error) error {
	for until := time.Now().Add(insistence); ; {
		err := ask()
		if err == nil || !e.classify(err).Transient || time.Now().After(until) || !pause(ctx, 2*firstBackoff) {
			return err
		}
	}
}

// listOffsets asks the leaders of all partitions where these begin and end. What some do not answer is an error of
// their partitions, not of all.
func (e *Engine) listOffsets(ctx context.Context) (starts, ends kadm.ListedOffsets, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout*2/3)
	defer cancel()
	if ends, err = e.admin.ListEndOffsets(ctx, e.topics[:]...); partly(err) == nil {
		starts, err = e.admin.ListStartOffsets(ctx, e.topics[engine.KindRecord])
	}
	return starts, ends, partly(err)
}

// partly is nil if some brokers have answered.
func partly(err error) error {
	var failed *kadm.ShardErrors
	if errors.As(err, &failed) && !failed.AllFailed {
		return nil
	}
	return err
}

// shardsOf judges every partition of the topic of records, together with those of the same number of the other topics:
// the same device's, where the topics have as many.
func (e *Engine) shardsOf(l *layout, starts, ends kadm.ListedOffsets) []engine.Shard {
	shards := make([]engine.Shard, len(l.topics[engine.KindRecord].partitions))
	for n := range shards {
		s := &shards[n]
		s.Name = strconv.Itoa(n)
		for k := range l.topics {
			t := &l.topics[k]
			p := n % len(t.partitions)
			if err := t.stores(p, ends); err != nil && s.Err == nil {
				s.Err = fmt.Errorf("topic %s, partition %d: %w", t.name, p, err)
			}
		}
		first, _ := starts.Lookup(e.topics[engine.KindRecord], int32(n))
		next, _ := ends.Lookup(e.topics[engine.KindRecord], int32(n))
		if first.Err == nil && next.Err == nil {
			s.Length = max(0, next.Offset-first.Offset)
		}
	}
	return shards
}

var errNoAnswer = errors.New("its leader does not answer")

// stores says why the partition takes no record now, nil if it does.
func (t *topic) stores(n int, ends kadm.ListedOffsets) error {
	p := &t.partitions[n]
	if p.err != nil && !errors.Is(p.err, kerr.ReplicaNotAvailable) {
		return p.err
	}
	if p.leader < 0 {
		return kerr.LeaderNotAvailable
	}
	if least := t.number("min.insync.replicas"); int64(p.inSync) < least {
		return fmt.Errorf("%d of its replicas are in sync and min.insync.replicas is %d: start the brokers that are missing",
			p.inSync, least)
	}
	end, answered := ends.Lookup(t.name, int32(n))
	if !answered {
		return errNoAnswer
	}
	return end.Err
}

// groups is how far the groups have got. One that the broker does not tell of is left out.
func (e *Engine) groups(ctx context.Context, starts, ends kadm.ListedOffsets) map[string]engine.Group {
	if len(e.opt.Groups) == 0 {
		return nil
	}
	all := map[string]engine.Group{}
	for name, r := range e.admin.FetchManyOffsets(ctx, e.opt.Groups...) {
		if r.Err != nil {
			continue
		}
		g := engine.Group{Oldest: -1}
		for _, start := range starts[e.topics[engine.KindRecord]] {
			end, ok := ends.Lookup(start.Topic, start.Partition)
			if !ok || start.Err != nil || end.Err != nil {
				continue
			}
			read := start.Offset
			if at, ok := r.Fetched.Lookup(start.Topic, start.Partition); ok && at.At >= 0 {
				read = at.At
			}
			g.Expired += max(0, start.Offset-read)
			g.Lag += max(0, end.Offset-max(read, start.Offset))
		}
		g.Unread = g.Lag
		all[name] = g
	}
	return all
}
