// Package kafka keeps records, dead letters and messages in three topics of anything that speaks Kafka's protocol.
//
// One client writes for all lanes, acks=all and idempotent. A write that has been handed to it is never given up: the
// client repeats it until the broker has answered, and the broker recognises the repetition. So what became of a batch
// is always found out, without reading the topics back. Store bounds how long it waits, not the write: it returns an
// ambiguous error, and the next Store of the batch waits on.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Options are the settings of an Engine.
type Options struct {
	// Brokers are the addresses, host:port, of which one has to answer first.
	Brokers []string
	// Topic is the topic of records; dead letters go to the one with ".dead" added, messages to the one with
	// ".messages".
	Topic string
	// Durability says what an answer has to mean.
	Durability Durability
	// Compression is none, gzip, snappy, lz4 or zstd; zstd if empty.
	Compression string
	// CreateTopics makes the topics that are missing, with 12 partitions each.
	CreateTopics bool
	// DeadMaxBytes and MessageMaxBytes bound the topics of dead letters and of messages that are created. Above it the
	// broker removes the oldest. 0 = no bound.
	DeadMaxBytes, MessageMaxBytes int64
	// Groups are the consumer groups whose lag Probe tells.
	Groups []string
	// LargestFrame is the largest frame in bytes that devices may send, for a warning when a topic takes too little.
	LargestFrame int
	TLS          TLS
	SASL         SASL
	// ClientID is what the broker's logs, metrics and quotas call this process; "tcp-ingestion" if empty.
	ClientID string
	// Logger gets the broker's loss of data; slog.Default() if nil.
	Logger *slog.Logger
}

// Durability is what the topics have to promise.
type Durability string

// The durabilities.
const (
	// Quorum needs three replicas of which two have a record before it counts as stored.
	Quorum Durability = "quorum"
	// Leader takes whatever the topics are set to: acks=all of the replicas that there are.
	Leader Durability = "leader"
)

const (
	// maxLanes is how many batches are on their way at once.
	maxLanes = 16

	// answerPatience is how long Store waits. It is shorter than what /readyz may take to show a failure; waiting on
	// costs nothing, because the write goes on meanwhile.
	answerPatience = 4 * time.Second

	// lanesPatience is how long New asks for the number of partitions.
	lanesPatience = 3 * time.Second
)

// Engine is a store in Kafka. It implements engine.Engine.
type Engine struct {
	opt      Options
	topics   [engine.Kinds]string
	client   *kgo.Client
	admin    *kadm.Client
	lanes    []*lane
	shards   int // the number of partitions that lanes were chosen by
	refs     refs
	log      *slog.Logger
	patience time.Duration

	layout    atomic.Pointer[layout] // nil before it has been asked for
	asking    chan struct{}          // who holds its only place asks for the layout
	renewing  sync.Mutex             // one at a time
	renewed   [engine.Kinds]atomic.Int64
	losses    atomic.Int64 // how often the broker has lost data that it had acknowledged
	closing   context.Context
	stop      context.CancelFunc
	following sync.WaitGroup // the pending writes, whose ends nobody may wait for
}

var _ interface {
	engine.Engine
	engine.Inspector
	engine.Tailer
	engine.DeadLetterStore
	engine.RecordReader
	engine.Consumable
} = (*Engine)(nil)

// New returns an engine that connects when it is used, but for the number of partitions, from which its lanes follow:
// it asks for that for 3 s at most. It fails only on settings that can never work.
func New(opt Options) (*Engine, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	e := &Engine{
		opt: opt, topics: [engine.Kinds]string{opt.Topic, opt.Topic + ".dead", opt.Topic + ".messages"},
		asking: make(chan struct{}, 1), refs: newRefs(), log: opt.Logger.With("engine", "kafka"), patience: answerPatience,
	}
	connection, err := opt.connection()
	if err != nil {
		return nil, err
	}
	writing, err := e.writing()
	if err != nil {
		return nil, err
	}
	if e.client, err = kgo.NewClient(append(connection, writing...)...); err != nil {
		return nil, err
	}
	e.admin = kadm.NewClient(e.client)
	e.closing, e.stop = context.WithCancel(context.Background())
	e.chooseLanes()
	return e, nil
}

func (o *Options) complete() error {
	var problems []error
	if len(o.Brokers) == 0 {
		problems = append(problems, errors.New("there are no brokers"))
	}
	if o.Topic == "" {
		problems = append(problems, errors.New("the topic's name is empty"))
	}
	if o.Durability != Quorum && o.Durability != Leader {
		problems = append(problems, fmt.Errorf("the durability %q is neither %s nor %s", o.Durability, Quorum, Leader))
	}
	if o.ClientID == "" {
		o.ClientID = "tcp-ingestion"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return errors.Join(problems...)
}

// chooseLanes makes one lane of each partition, up to maxLanes. Where nobody answers, maxLanes is a guess: then a
// partition that fails may hold up devices of others until the process starts again.
func (e *Engine) chooseLanes() {
	n, err := e.partitions()
	if err != nil {
		n = maxLanes
		e.log.Warn("kafka partitions not known at the start", "error", err)
	}
	e.shards = n
	for range min(n, maxLanes) {
		e.lanes = append(e.lanes, newLane(e))
	}
}

// partitions asks how many the topic of records has, until there is an answer, for lanesPatience at the most.
func (e *Engine) partitions() (int, error) {
	ctx, cancel := context.WithTimeout(e.closing, lanesPatience)
	defer cancel()
	for {
		l, err := e.ask(ctx)
		if err == nil {
			if n := len(l.topics[engine.KindRecord].partitions); n > 0 {
				return n, nil
			}
			return 0, l.wrong
		}
		if failure := e.classify(err); !failure.Transient || !pause(ctx, 100*time.Millisecond) {
			return 0, failure
		}
	}
}

// Lanes is how many batches the client is given at once.
func (e *Engine) Lanes() int { return len(e.lanes) }

// Lane follows from the device's partition, as it was when the engine was made: when partitions are added, a device's
// records go to another one and still through the same lane, so that none overtakes an earlier one.
func (e *Engine) Lane(deviceID string) int {
	return int(partitionOf(deviceID, e.shards)) % len(e.lanes)
}

// Close gives up what is not stored yet and closes the connections.
func (e *Engine) Close() error {
	e.stop()
	e.client.Close()
	e.following.Wait()
	return nil
}

// pause waits, and says whether the whole time has passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
