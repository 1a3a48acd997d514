// Package jetstream keeps records in NATS JetStream, in one stream a shard, and dead letters and messages in streams
// beside it. Which shard is a device's is a public rule that never changes; see engine.ShardOf.
//
// A lane writes one shard. What it has of a batch goes to the server as atomic batches, each of which is stored whole
// or not at all, in the order of its messages. If nobody knows which, the lane first makes sure that nothing more of
// it can be stored, then looks, and only then goes on; see settle.go.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Durability says which streams may confirm a record.
type Durability string

// The durabilities.
const (
	Quorum Durability = "quorum" // three copies or more, in files: most of them have it
	Leader Durability = "leader" // whatever the streams are; one server is enough
)

// ParseDurability reads the setting.
func ParseDurability(text string) (Durability, error) {
	if d := Durability(text); d == Quorum || d == Leader {
		return d, nil
	}
	return "", fmt.Errorf("%q: use quorum or leader", text)
}

// Options are the settings of an Engine.
type Options struct {
	URL      string // of the servers, separated by commas: nats:// or tls://, with user and password or a token if needed
	Creds    string // path of a credentials file; empty = none
	CAFile   string // path of a PEM file with the authorities of the servers; empty = the system's
	CertFile string // path of a PEM file with a certificate of the client's own, and of its key; empty = none
	KeyFile  string

	Shards     int // 1 to MaxShards
	Durability Durability
	Create     bool // streams that are missing are made

	DeadMaxBytes    int64 // what the dead letters of all shards may take in streams that are made; 0 = no bound
	MessageMaxBytes int64 // the same of messages

	LargestFrame int // bytes, of a dead letter; 0 = not known

	ClientName string // what the server lists; "tcp-ingestion" if empty
	Logger     *slog.Logger
}

// MaxShards is far more than a cluster of a few servers can use.
const MaxShards = 64

// Engine is a store in JetStream. It implements engine.Engine.
type Engine struct {
	opt   Options
	link  *link
	lanes []*lane
	log   *slog.Logger

	making   sync.Mutex // streams, one at a time
	noGroups groupsOff
}

var _ interface {
	engine.Engine
	engine.Inspector
	engine.Tailer
	engine.DeadLetterStore
	engine.RecordReader
} = (*Engine)(nil)

// New returns an engine that connects in the background. It fails only on settings that can never work; the error never
// quotes the URL, which may hold a password.
func New(opt Options) (*Engine, error) {
	if opt.ClientName == "" {
		opt.ClientName = "tcp-ingestion"
	}
	if opt.Logger == nil {
		opt.Logger = slog.Default()
	}
	if err := opt.check(); err != nil {
		return nil, err
	}
	e := &Engine{opt: opt, log: opt.Logger.With("engine", "jetstream")}
	for shard := range opt.Shards {
		e.lanes = append(e.lanes, newLane(e, shard))
	}
	var err error
	e.link, err = dial(&opt, e.log)
	return e, err
}

func (o *Options) check() error {
	var problems []error
	if o.Shards < 1 || o.Shards > MaxShards {
		problems = append(problems, fmt.Errorf("%d shards are not from 1 to %d", o.Shards, MaxShards))
	}
	if _, err := ParseDurability(string(o.Durability)); err != nil {
		problems = append(problems, err)
	}
	for _, path := range []string{o.Creds, o.CAFile, o.CertFile, o.KeyFile} {
		if path == "" {
			continue
		}
		if _, err := os.ReadFile(path); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// Lanes is the number of shards.
func (e *Engine) Lanes() int { return len(e.lanes) }

// Lane is the device's shard.
func (e *Engine) Lane(deviceID string) int { return engine.ShardOf(deviceID, len(e.lanes)) }

// Store writes one batch to the lane's shard.
func (e *Engine) Store(ctx context.Context, lane int, b *engine.Batch) error {
	return e.lanes[lane].store(ctx, b)
}

// Close ends the connection.
func (e *Engine) Close() error {
	e.link.close()
	return nil
}

// api is the servers' API, once there is a connection.
func (e *Engine) api(ctx context.Context) (jetstream.JetStream, error) {
	conn, err := e.link.await(ctx)
	if err != nil {
		return nil, err
	}
	return jetstream.New(conn, jetstream.WithDefaultTimeout(askPatience))
}

// How long a batch's confirmation is waited for, and the answer to a question. Both are longer than a server takes that
// works. Neither gives up a write: what became of it is found out before the next one.
const (
	storePatience = 4 * time.Second
	askPatience   = 3 * time.Second
)
