package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// largestDocument is what a record of a frame of the usual size may take.
const largestDocument = 1 << 20

// Inspect looks at every stream. It fails with what is wrong with the first one that cannot be used.
func (e *Engine) Inspect(ctx context.Context) (engine.Durability, error) {
	conn, err := e.link.await(ctx)
	if err != nil {
		return engine.Durability{}, err
	}
	d := engine.Durability{Engine: "NATS JetStream " + conn.ConnectedServerVersion(), Class: engine.Replicated}
	var weak error // the configured durability cannot be had
	var records *jetstream.StreamInfo
	for shard := range e.lanes {
		for k := range engine.Kinds {
			info, err := e.info(ctx, k, shard)
			switch {
			case errors.Is(err, engine.ErrDurability):
				weak = cmp.Or(weak, err)
			case err != nil:
				return engine.Durability{}, err
			}
			if c := classOf(&info.Config); c != engine.Replicated {
				d.Class = c
			}
			if k == engine.KindRecord && shard == 0 {
				records = info
			}
		}
	}
	if err := e.surplus(ctx); err != nil {
		return engine.Durability{}, err
	}
	d.Facts = facts(records, len(e.lanes), conn.ConnectedClusterName(), conn.MaxPayload())
	d.Warnings = warnings(&records.Config, d.Class, conn.MaxPayload())
	if need := int64(2*e.opt.LargestFrame + headerRoom); conn.MaxPayload() < need {
		d.Warnings = append(d.Warnings, fmt.Sprintf("max_payload is %d, and a dead letter of MAX_FRAME_BYTES takes %d: "+
			"a device that sends one is stuck; raise max_payload on every server, or lower MAX_FRAME_BYTES",
			conn.MaxPayload(), need))
	}
	return d, weak
}

// classOf is what a stream promises as far as anybody can see.
func classOf(c *jetstream.StreamConfig) engine.Class {
	if c.Storage == jetstream.FileStorage && c.Replicas >= 3 {
		return engine.Replicated
	}
	return engine.MemoryOnly
}

// surplus refuses fewer shards than there are streams for.
func (e *Engine) surplus(ctx context.Context) error {
	js, err := e.api(ctx)
	if err != nil {
		return err
	}
	name := streamName(engine.KindRecord, len(e.lanes))
	_, err = js.Stream(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil
	case err != nil:
		return e.classify(engine.KindRecord, len(e.lanes), err)
	}
	return &engine.Error{Err: fmt.Errorf("there is a stream %s, so the streams were made for more than %d shards: "+
		"set JETSTREAM_SHARDS to the number that nats stream info TELEMETRY_0 shows as %s", name, len(e.lanes), shardsKey)}
}

func facts(info *jetstream.StreamInfo, shards int, cluster string, payload int64) []engine.Fact {
	c := &info.Config
	return []engine.Fact{
		{Name: "cluster", Value: cluster},
		{Name: "shards", Value: strconv.Itoa(shards)},
		{Name: "num_replicas", Value: strconv.Itoa(c.Replicas)},
		{Name: "storage", Value: strings.ToLower(c.Storage.String())},
		{Name: "retention", Value: c.Retention.String()},
		{Name: "max_age", Value: limit(int64(c.MaxAge), c.MaxAge.String())},
		{Name: "max_bytes", Value: limit(c.MaxBytes, strconv.FormatInt(c.MaxBytes, 10))},
		{Name: "max_msgs", Value: limit(c.MaxMsgs, strconv.FormatInt(c.MaxMsgs, 10))},
		{Name: "max_payload", Value: strconv.FormatInt(payload, 10)},
		{Name: "sync_interval", Value: "not visible to clients"},
	}
}

func limit(n int64, text string) string {
	if n <= 0 {
		return "none"
	}
	return text
}

func warnings(c *jetstream.StreamConfig, class engine.Class, payload int64) []string {
	var all []string
	warn := func(when bool, text string) {
		if when {
			all = append(all, text)
		}
	}
	warn(class == engine.Replicated, "the servers write to disk every 2 minutes unless they are told otherwise, and no "+
		"client sees it: if all copies lose power at once, that much is lost; set sync_interval: always in the jetstream "+
		"block of every server")
	warn(class != engine.Replicated, "a record is acknowledged when one server has it, which by default writes to disk "+
		"every 2 minutes: its crash loses nothing, a power cut up to 2 minutes, its disk everything; "+
		"use three servers and nats stream edit --replicas 3")
	warn(payload < largestDocument, fmt.Sprintf("max_payload is %d, and a record may take up to %d: larger ones become "+
		"dead letters; set max_payload: 1MB on every server", payload, largestDocument))
	warn(c.MaxAge <= 0 && c.MaxBytes <= 0 && c.MaxMsgs <= 0, "the streams of records have no limit, so they fill the "+
		"disk: run nats stream edit TELEMETRY_n --max-age 7d")
	warn(c.Discard == jetstream.DiscardNew && (c.MaxBytes > 0 || c.MaxMsgs > 0), "a full stream refuses new records "+
		"until something is removed: run nats stream edit TELEMETRY_n --discard old")
	warn(c.MaxAge > 0 && c.MaxAge < time.Hour, fmt.Sprintf("records are kept for %s only: a consumer that is away for "+
		"longer misses them", c.MaxAge))
	return all
}
