package jetstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// shardStatus is what a probe learns about a shard.
type shardStatus struct {
	infos  [engine.Kinds]*jetstream.StreamInfo
	groups map[string]engine.Group
	err    error
}

// Probe asks the leaders of all streams whether they would store, without having them store.
func (e *Engine) Probe(ctx context.Context) (engine.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	if _, err := e.link.await(ctx); err != nil {
		return engine.Status{}, err
	}
	shards := make([]shardStatus, len(e.lanes))
	var asking sync.WaitGroup
	for i := range shards {
		asking.Go(func() { shards[i] = e.probeShard(ctx, i) })
	}
	asking.Wait()
	return statusOf(shards)
}

func (e *Engine) probeShard(ctx context.Context, shard int) (s shardStatus) {
	var asking sync.WaitGroup
	var errs [engine.Kinds]error
	for k := range errs {
		asking.Go(func() { s.infos[k], errs[k] = e.probeStream(ctx, engine.Kind(k), shard) })
	}
	asking.Wait()
	if info := s.infos[engine.KindRecord]; info != nil && info.State.Consumers > 0 {
		s.groups = e.groups(ctx, shard)
	}
	s.err = cmp.Or(errs[:]...)
	return s
}

func (e *Engine) probeStream(ctx context.Context, k engine.Kind, shard int) (*jetstream.StreamInfo, error) {
	info, err := e.info(ctx, k, shard)
	if err != nil {
		return info, err
	}
	if err := quorum(info.Cluster, info.Config.Replicas); err != nil {
		return info, e.classify(k, shard, err)
	}
	if err := e.link.tryStore(ctx, fenceSubject(k, shard, "probe")); err != nil {
		return info, e.classify(k, shard, err)
	}
	return info, nil
}

// silentFor is how long a follower may have said nothing to its leader. It answers every second.
const silentFor = 5 * time.Second

// quorum says whether too few servers have the stream. A leader does not know at once that it is alone.
func quorum(c *jetstream.ClusterInfo, replicas int) error {
	if c == nil || replicas == 1 {
		return nil
	}
	if c.Leader == "" {
		return errors.New("no server leads it now")
	}
	alive := 1
	for _, r := range c.Replicas {
		if !r.Offline && r.Active < silentFor {
			alive++
		}
	}
	if alive <= replicas/2 {
		return fmt.Errorf("%d of its %d servers are alive, which is no majority: start the others", alive, replicas)
	}
	return nil
}

// tryStore has the leader look at a message as if it were to be stored, and refuse it for a sequence that no stream
// has.
func (l *link) tryStore(ctx context.Context, subject string) error {
	answer, err := l.ask(ctx, &nats.Msg{Subject: subject, Header: nats.Header{
		jetstream.ExpectedLastSeqHeader: []string{strconv.FormatUint(1<<62, 10)},
	}}, askPatience)
	if err != nil {
		return err
	}
	var stored confirmation
	if err := json.Unmarshal(answer.Data, &stored); err != nil {
		return err
	}
	switch {
	case stored.Error == nil:
		return errors.New("it has stored what it had to refuse")
	case stored.Error.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return nil
	}
	return stored.Error
}

// statusOf adds the shards up.
func statusOf(shards []shardStatus) (engine.Status, error) {
	var s engine.Status
	var errs []error
	for i := range shards {
		shard := &shards[i]
		one := engine.Shard{Name: strconv.Itoa(i), Err: shard.err}
		if info := shard.infos[engine.KindRecord]; info != nil {
			one.Length = int64(info.State.Msgs)
			s.Known = true
		}
		s.Length += one.Length
		s.Groups = addGroups(s.Groups, shard.groups)
		addBytes(&s.DeadLetterBytes, &s.DeadLetterLimit, shard.infos[engine.KindDeadLetter])
		addBytes(&s.MessageBytes, &s.MessageLimit, shard.infos[engine.KindMessage])
		s.Shards = append(s.Shards, one)
		if shard.err != nil {
			errs = append(errs, shard.err)
		}
	}
	if len(errs) < len(shards) {
		return s, nil
	}
	err := errs[0]
	var failure *engine.Error
	if errors.As(err, &failure) {
		return s, &engine.Error{Transient: failure.Transient, Err: err}
	}
	return s, err
}

func addBytes(bytes, limit *int64, info *jetstream.StreamInfo) {
	if info == nil {
		return
	}
	*bytes += int64(info.State.Bytes)
	*limit += max(0, info.Config.MaxBytes)
}
