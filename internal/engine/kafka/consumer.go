package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// How a consumer waits: at least so long for the client's fetches, so long for an answer when nothing comes, and so
// long for the broker to take its leave.
const (
	shortestPoll = 50 * time.Millisecond
	pingTimeout  = 2 * time.Second
	leaveTimeout = 2 * time.Second

	// sessionTimeout is how long after its last sign of life a member counts as dead: the least that brokers allow.
	sessionTimeout = 6 * time.Second
)

// Consumer makes a member of the consumer group of that name. The members have partitions each. They keep them while a
// batch is in hand: another member waits for its commit, up to the group's rebalance timeout.
func (e *Engine) Consumer(_ context.Context, group string) (engine.Consumer, error) {
	if !engine.ValidGroup(group) {
		return nil, &engine.Error{Err: fmt.Errorf("%q is no name of a group", group)}
	}
	opts, err := e.opt.connection()
	if err != nil {
		return nil, e.classify(err)
	}
	c := &consumer{e: e, group: group, topic: e.topics[engine.KindRecord], partitions: map[int32]*progress{}}
	c.client, err = kgo.NewClient(append(opts,
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(c.topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(sessionTimeout/4),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(tailWait), kgo.FetchMaxBytes(tailBytes),
		kgo.OnPartitionsAssigned(c.assigned), kgo.OnPartitionsRevoked(c.left), kgo.OnPartitionsLost(c.left))...)
	if err != nil {
		return nil, e.classify(err)
	}
	return c, nil
}

// consumer is a member of a group.
type consumer struct {
	e      *Engine
	client *kgo.Client
	group  string
	topic  string

	mu         sync.Mutex // the client tells of partitions on goroutines of its own
	partitions map[int32]*progress
	expired    int64
}

// progress is how far a partition is read that this member has.
type progress struct {
	next  int64           // the offset behind what was given, -1 if nothing was, and nothing is committed
	given kgo.EpochOffset // what is to be committed
	count int             // records given and not committed
}

// assigned begins with what the group has committed.
func (c *consumer) assigned(ctx context.Context, _ *kgo.Client, added map[string][]int32) {
	committed, err := c.e.admin.FetchOffsets(ctx, c.group)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range added[c.topic] {
		at := &progress{next: -1}
		if o, ok := committed.Lookup(c.topic, p); ok && err == nil && o.At >= 0 {
			at.next = o.At
		}
		c.partitions[p] = at
	}
}

// left forgets what other members read now.
func (c *consumer) left(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range gone[c.topic] {
		delete(c.partitions, p)
	}
}

// Next lets other members in when nothing is in hand.
func (c *consumer) Next(ctx context.Context, n int, wait time.Duration) ([][]byte, error) {
	if !c.inHand() {
		c.client.AllowRebalance()
	}
	polling, cancel := context.WithTimeout(ctx, max(wait, shortestPoll))
	defer cancel()
	for {
		polled := c.client.PollRecords(polling, n)
		if payloads := c.accept(polled); len(payloads) > 0 {
			return payloads, nil
		}
		if err := fatal(polled); err != nil {
			return nil, c.e.classify(err)
		}
		if polling.Err() != nil { // else the client has woken for nothing
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, c.why(ctx)
}

// accept notes what was polled, and how many records the broker had removed before they were read.
func (c *consumer) accept(polled kgo.Fetches) (payloads [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	polled.EachPartition(func(p kgo.FetchTopicPartition) {
		at := c.partitions[p.Partition]
		if at == nil || len(p.Records) == 0 {
			return
		}
		if first := min(p.Records[0].Offset, p.LogStartOffset); at.next >= 0 && first > at.next {
			c.expired += first - at.next
		}
		for _, r := range p.Records {
			payloads = append(payloads, r.Value)
			at.next, at.count = r.Offset+1, at.count+1
			at.given = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
		}
	})
	return payloads
}

// why says why nothing came: the brokers are away, or other members have all partitions.
func (c *consumer) why(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := c.client.Ping(asking); err != nil {
		return c.e.classify(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, generation := c.client.GroupMetadata(); generation > 0 && len(c.partitions) == 0 {
		return &engine.Error{Transient: true, Err: engine.ErrTurn}
	}
	return nil
}

func (c *consumer) inHand() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.partitions {
		if at.count > 0 {
			return true
		}
	}
	return false
}

// Commit commits the offsets, and lets other members in.
func (c *consumer) Commit(ctx context.Context) error {
	c.mu.Lock()
	offsets := map[int32]kgo.EpochOffset{}
	for p, at := range c.partitions {
		if at.count > 0 {
			offsets[p] = at.given
		}
	}
	c.mu.Unlock()
	if len(offsets) == 0 {
		return nil
	}
	committed, err := c.e.commit(ctx, c.client, c.topic, offsets)
	if err != nil && !lostTurn(err) {
		return c.e.classify(err)
	}
	if err == nil {
		c.settle(committed)
	} else {
		c.settle(offsets) // which is the others' to deliver again
		err = &engine.Error{Transient: true, Err: fmt.Errorf("%w: %w", engine.ErrTurn, err)}
	}
	c.client.AllowRebalance()
	return err
}

// lostTurn reports whether the group no longer counts this member as one that has the partitions.
func lostTurn(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) ||
		errors.Is(err, kerr.FencedInstanceID)
}

// settle takes out of hand what was given up to the offsets.
func (c *consumer) settle(offsets map[int32]kgo.EpochOffset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, offset := range offsets {
		if at := c.partitions[p]; at != nil && at.given == offset {
			at.count = 0
		}
	}
}

// Holds cannot tell: the broker does with the commit.
func (c *consumer) Holds(context.Context) error { return nil }

// Lag asks the brokers. The oldest record's age is told by its time in Kafka.
func (c *consumer) Lag(ctx context.Context) (engine.Group, error) {
	g, err := c.e.lagOf(ctx, c.group)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.partitions {
		g.Lag -= int64(at.count)
	}
	g.Lag, g.Expired = max(0, g.Lag), c.expired
	return g, err
}

// Close leaves the group, so that others need not wait for this member's death.
func (c *consumer) Close() error {
	c.client.AllowRebalance()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	_ = c.client.LeaveGroupContext(ctx) // else the group finds out by itself
	c.client.CloseAllowingRebalance()
	return nil
}
