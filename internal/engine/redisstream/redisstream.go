// Package redisstream keeps records in a Redis stream, dead letters in a second one and messages in a third.
//
// A batch is one pipelined write of XADDs on one of a few connections, the lanes, and the answers
// to them. The lanes write and read the protocol themselves, because this is the path that every
// record takes; whatever is rare goes through the client library.
package redisstream

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/redisdial"
)

// Options are the settings of an Engine.
type Options struct {
	// URL is one of package redisdial: of a server, of the sentinels that know the master, or of a cluster.
	URL string
	// Stream is the key of the records' stream; dead letters go to the key with ":dead" added, messages
	// to the one with ":messages", marks of devices to the one with ":last".
	Stream string
	// MaxLen is the approximate length that the stream is trimmed to, in entries. What a consumer
	// group still needs is kept all the same. The messages' stream is trimmed to the same length in the
	// same way, the dead letters' to a tenth of it, but not below 10,000 entries. 0 = no trimming by length.
	MaxLen int64
	// DeadMaxBytes is what the dead letters' stream may take of Redis' memory: the oldest are
	// removed before it takes more. 0 = no bound.
	DeadMaxBytes int64
	// MessageMaxBytes is the same for the messages' stream. What a consumer group has not acknowledged is
	// removed only if that alone takes more. 0 = no bound.
	MessageMaxBytes int64
	// Durability says when an entry counts as stored.
	Durability Durability
	// Shards is how many parts a cluster has the streams in, 1 to MaxShards, each with the keys of one slot: Stream with
	// ":{0}" and so on added. 0 = 1. Without a cluster there is none of it.
	Shards int
	// Lanes is how many batches go to Redis at once, 1 to 256. 0 = what suits the durability. A cluster has one for each
	// shard.
	Lanes int
	// Recall has the engine mark what each device sent last, and recognise records that are in doubt (engine.Doubt).
	Recall bool
	// ClientName is what CLIENT LIST shows; "tcp-ingestion" if empty.
	ClientName string
	// Logger gets the changes of the connection's state; slog.Default() if nil.
	Logger *slog.Logger
}

const maxLanes = 256

// MaxShards is far more than a cluster of a few masters can use.
const MaxShards = 64

// Engine is a store in Redis. It implements engine.Engine.
type Engine struct {
	opt       Options
	target    *redisdial.Target // address, credentials and TLS, for the lanes too
	sentinels *sentinels        // nil if there are none
	cluster   *cluster          // nil if it is none
	layout    *layout           // nil without a cluster
	shards    []*shard
	lanes     []*lane
	secret    maphash.Seed // of the lanes' choice
	log       *slog.Logger
	patience  time.Duration // see answerPatience
	writer    uint32        // of marks: a number that no other engine has, or hardly

	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ interface {
	engine.Engine
	engine.Inspector
	engine.Tailer
	engine.DeadLetterStore
	engine.RecordReader
	engine.Consumable
} = (*Engine)(nil)

// New returns an engine that connects when it is used. It fails only on settings that can never
// work.
func New(opt Options) (*Engine, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	target, err := redisdial.ParseAny(opt.URL)
	if err != nil {
		return nil, err
	}
	if len(target.Nodes) > 0 {
		opt.Lanes = opt.Shards
	} else if opt.Shards > 1 {
		return nil, errors.New("only a Redis Cluster has shards")
	}
	// The lanes' rare questions, probes, trimming.
	target.Named(opt.ClientName).Server.PoolSize = opt.Lanes/opt.Shards + 8

	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{
		opt:      opt,
		target:   target,
		secret:   maphash.MakeSeed(),
		patience: answerPatience,
		writer:   rand.Uint32(),
		stop:     stop,
	}
	e.log = opt.Logger.With("engine", "redis", "address", e.where())
	e.makeShards(ctx)
	for i := range opt.Lanes {
		e.lanes = append(e.lanes, newLane(e.shards[i%len(e.shards)]))
	}
	if opt.MaxLen > 0 || opt.DeadMaxBytes > 0 || opt.MessageMaxBytes > 0 || opt.Recall {
		for _, s := range e.shards {
			e.running.Go(func() { newTrimmer(s).run(ctx) })
		}
	}
	return e, nil
}

// makeShards makes the shards, and has whoever knows their masters followed until ctx ends.
func (e *Engine) makeShards(ctx context.Context) {
	switch t := e.target; {
	case len(t.Nodes) > 0:
		e.cluster = newCluster(e)
		e.layout = newLayout(e)
		for i := range e.opt.Shards {
			stream := fmt.Sprintf("%s:{%d}", e.opt.Stream, i)
			e.shards = append(e.shards, e.newShard(strconv.Itoa(i), stream, e.cluster.seatOf(stream)))
		}
		e.running.Go(func() { e.cluster.follow(ctx) })
	case len(t.Sentinels) > 0:
		e.sentinels = newSentinels(e)
		e.shards = []*shard{e.newShard("", e.opt.Stream, e.sentinels.seat)}
		e.running.Go(func() { e.sentinels.follow(ctx) })
	default:
		e.shards = []*shard{e.newShard("", e.opt.Stream, e.fixedSeat(t.Server.Addr))}
	}
}

func (o *Options) complete() error {
	var problems []error
	if o.Stream == "" {
		problems = append(problems, errors.New("the stream's key is empty"))
	}
	if o.MaxLen < 0 {
		problems = append(problems, fmt.Errorf("the stream's length %d is negative", o.MaxLen))
	}
	if o.DeadMaxBytes < 0 {
		problems = append(problems, fmt.Errorf("the dead letters' %d bytes are negative", o.DeadMaxBytes))
	}
	if o.MessageMaxBytes < 0 {
		problems = append(problems, fmt.Errorf("the messages' %d bytes are negative", o.MessageMaxBytes))
	}
	if o.Durability.Replicas < 0 || o.Durability.Replicas > maxReplicas {
		problems = append(problems, fmt.Errorf("%d replicas are not from 0 to %d", o.Durability.Replicas, maxReplicas))
	}
	if o.Shards < 0 || o.Shards > MaxShards {
		problems = append(problems, fmt.Errorf("%d shards are not from 1 to %d", o.Shards, MaxShards))
	}
	o.Shards = max(o.Shards, 1)
	if o.Lanes < 0 || o.Lanes > maxLanes {
		problems = append(problems, fmt.Errorf("%d lanes are not from 0 to %d", o.Lanes, maxLanes))
	}
	if o.Lanes == 0 {
		o.Lanes = o.Durability.lanes()
	}
	if o.ClientName == "" {
		o.ClientName = "tcp-ingestion"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return errors.Join(problems...)
}

// Lanes is how many batches Redis is given at once.
func (e *Engine) Lanes() int { return len(e.lanes) }

// Lane is the device's shard in a cluster. Else it is decided by a secret: all lanes write to the same streams.
func (e *Engine) Lane(deviceID string) int {
	if e.cluster != nil {
		return engine.ShardOf(deviceID, len(e.shards))
	}
	return int(maphash.String(e.secret, deviceID) % uint64(len(e.lanes)))
}

// Store writes one batch on the lane's connection, which it makes first if there is none.
func (e *Engine) Store(ctx context.Context, lane int, b *engine.Batch) error {
	l := e.lanes[lane]
	again := b.ID != 0 && b.ID == l.batch
	err := e.layout.agree(ctx)
	if err == nil {
		err = l.store(ctx, b, again)
	}
	if err == nil {
		return nil
	}
	failure := l.shard.classify(err)
	if again && !failure.Ambiguous {
		// This attempt has stored nothing, but the one before may have.
		return &engine.Error{Transient: failure.Transient, Ambiguous: true, Err: failure.Err}
	}
	return failure
}

// Close ends the background work and closes the connections.
func (e *Engine) Close() error {
	e.stop()
	err := e.closeSeats() // also ends a command that waits for its answer
	e.running.Wait()
	for _, l := range e.lanes {
		l.drop()
	}
	return err
}

// pause waits, and says whether the whole time has passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
