package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// What the streams are called and which subjects they have, for ever: consumers rely on it. The device follows a
// subject's shard.
//
//	records       TELEMETRY_n             telemetry.teltonika.n.IMEI
//	dead letters  TELEMETRY_DEAD_n        telemetry.teltonika.dead.n.IMEI
//	messages      TELEMETRY_MESSAGES_n    telemetry.teltonika.messages.n.IMEI
//
// Beside them each stream takes the word fence in front of the shard, which is for this package; see settle.go.
var (
	streamNames  = [engine.Kinds]string{"TELEMETRY_", "TELEMETRY_DEAD_", "TELEMETRY_MESSAGES_"}
	subjectRoots = [engine.Kinds]string{
		"telemetry.teltonika.", "telemetry.teltonika.dead.", "telemetry.teltonika.messages.",
	}
)

const fenceWord = "fence."

// shardsKey is where a stream says for how many shards it was made.
const shardsKey = "telemetry.shards"

// recordsAge is how long a stream keeps records that this package makes. Whoever wants another limit edits the stream.
const recordsAge = 7 * 24 * time.Hour

func streamName(k engine.Kind, shard int) string { return streamNames[k] + strconv.Itoa(shard) }

// subject is the one of a device's items, or with "*" of all devices'.
func subject(k engine.Kind, shard int, device string) string {
	return subjectRoots[k] + strconv.Itoa(shard) + "." + device
}

func fenceSubject(k engine.Kind, shard int, name string) string {
	return subjectRoots[k] + fenceWord + strconv.Itoa(shard) + "." + name
}

// wanted is the stream as this package makes it.
func (o *Options) wanted(k engine.Kind, shard int) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:     streamName(k, shard),
		Subjects: []string{subject(k, shard, "*"), fenceSubject(k, shard, "*")},
		Storage:  jetstream.FileStorage, Discard: jetstream.DiscardOld, Replicas: 3,
		AllowDirect: true, AllowAtomicPublish: true,
		Metadata: map[string]string{shardsKey: strconv.Itoa(o.Shards)},
		MaxMsgs:  -1, MaxBytes: -1,
	}
	if o.Durability == Leader {
		c.Replicas = 1
	}
	switch k {
	case engine.KindRecord:
		c.MaxAge = recordsAge
	case engine.KindDeadLetter:
		c.MaxBytes = part(o.DeadMaxBytes, o.Shards)
	case engine.KindMessage:
		c.MaxBytes = part(o.MessageMaxBytes, o.Shards)
	}
	return c
}

// part is a shard's part of a bound, -1 where there is none.
func part(bound int64, shards int) int64 {
	if bound == 0 {
		return -1
	}
	return max(1, bound/int64(shards))
}

// command is what makes the stream by hand.
func (o *Options) command(k engine.Kind, shard int) string {
	c := o.wanted(k, shard)
	var b strings.Builder
	fmt.Fprintf(&b, "nats stream add %s --subjects '%s' --storage file --replicas %d --retention limits --discard old",
		c.Name, strings.Join(c.Subjects, ","), c.Replicas)
	if c.MaxAge > 0 {
		fmt.Fprintf(&b, " --max-age %s", c.MaxAge)
	}
	if c.MaxBytes > 0 {
		fmt.Fprintf(&b, " --max-bytes %d", c.MaxBytes)
	}
	fmt.Fprintf(&b, " --allow-direct --allow-batch --metadata %s=%d --defaults", shardsKey, o.Shards)
	return b.String()
}

// judge says why nothing may be stored in the stream as it is, with the remedy.
func (o *Options) judge(k engine.Kind, shard int, c *jetstream.StreamConfig) error {
	name := c.Name
	wrong := func(format string, args ...any) error {
		return &engine.Error{Err: fmt.Errorf("stream "+name+" "+format, args...)}
	}
	made := c.Metadata[shardsKey]
	switch {
	case made == "":
		return wrong("does not say for how many shards it was made: if it was for %d, run: nats stream edit %s "+
			"--metadata %s=%d", o.Shards, name, shardsKey, o.Shards)
	case made != strconv.Itoa(o.Shards):
		return wrong("was made for %s shards, and JETSTREAM_SHARDS is %d: devices would change their shard and lose "+
			"their order; set JETSTREAM_SHARDS=%s", made, o.Shards, made)
	case !c.AllowAtomicPublish:
		return wrong("takes no atomic batches: run nats stream edit %s --allow-batch, "+
			"which needs nats-server 2.12 on all servers", name)
	case !c.AllowDirect:
		return wrong("cannot be read directly: run nats stream edit %s --allow-direct", name)
	case c.NoAck:
		return wrong("confirms nothing: run nats stream edit %s --ack", name)
	case c.Sealed:
		return wrong("is sealed and takes nothing more: make another one in its place")
	}
	for _, s := range o.wanted(k, shard).Subjects {
		if !slices.Contains(c.Subjects, s) {
			return wrong("has not the subject %s: run nats stream edit %s --subjects '%s'",
				s, name, strings.Join(o.wanted(k, shard).Subjects, ","))
		}
	}
	if o.Durability == Quorum && (c.Replicas < 3 || c.Storage != jetstream.FileStorage) {
		return &engine.Error{Err: fmt.Errorf("stream %s has %d %s in %s storage, which JETSTREAM_DURABILITY=quorum does "+
			"not accept: run nats stream edit %s --replicas 3, or set JETSTREAM_DURABILITY=leader and lose what its one "+
			"server loses: %w",
			name, c.Replicas, copies(c.Replicas), strings.ToLower(c.Storage.String()), name, engine.ErrDurability)}
	}
	return nil
}

func copies(n int) string {
	if n == 1 {
		return "copy"
	}
	return "copies"
}

// info asks the leader about a stream, which is made if it is missing and may be made. The error says what is wrong
// with the stream as it is; the information comes with it.
func (e *Engine) info(ctx context.Context, k engine.Kind, shard int) (*jetstream.StreamInfo, error) {
	js, err := e.api(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := e.link.during(ctx, askPatience)
	defer cancel()
	s, err := js.Stream(ctx, streamName(k, shard))
	if errors.Is(err, jetstream.ErrStreamNotFound) && e.opt.Create {
		s, err = e.create(ctx, js, k, shard)
	}
	if err != nil {
		return nil, e.classify(k, shard, explained(ctx, err))
	}
	info := s.CachedInfo()
	return info, e.opt.judge(k, shard, &info.Config)
}

// create makes a stream. The first one says for how many shards they all are, so it has to be there, and right, before
// the others.
func (e *Engine) create(
	ctx context.Context, js jetstream.JetStream, k engine.Kind, shard int,
) (jetstream.Stream, error) {
	if k != engine.KindRecord || shard != 0 {
		if _, err := e.info(ctx, engine.KindRecord, 0); err != nil {
			return nil, err
		}
	}
	e.making.Lock()
	defer e.making.Unlock()
	s, err := js.Stream(ctx, streamName(k, shard))
	if err == nil {
		return s, nil // somebody was faster
	}
	s, err = js.CreateStream(ctx, e.opt.wanted(k, shard))
	if err == nil {
		e.log.Info("stream created", "stream", streamName(k, shard))
	}
	return s, err
}
