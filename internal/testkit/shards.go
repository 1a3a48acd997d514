package testkit

import (
	"errors"
	"fmt"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var errHeld = &engine.Error{Transient: true, Err: errors.New("held")}

// NewShards returns an engine of that many shards. Each is a lane of its own, which fails and hangs by itself.
func NewShards(shards int) *Engine {
	e := NewEngine(shards)
	e.sharded = true
	return e
}

// FailShard makes every Store of a shard's lane fail with err from now on. nil ends it.
func (e *Engine) FailShard(shard int, err error) { e.set(func() { e.failing[shard] = err }) }

// probeShards notes what each shard would do. Its error is theirs if none would store.
func (e *Engine) probeShards(status *engine.Status) error {
	length := make([]int64, e.lanes)
	for _, r := range e.records {
		length[e.Lane(r.DeviceID)]++
	}
	var failed []error
	for i := range e.lanes {
		err := e.failing[i]
		if err == nil && e.held[i] {
			err = errHeld
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("shard %d: %w", i, err))
		}
		status.Shards = append(status.Shards, engine.Shard{Name: strconv.Itoa(i), Err: err, Length: length[i]})
	}
	if len(failed) < e.lanes {
		return nil
	}
	return &engine.Error{Transient: true, Err: errors.Join(failed...)}
}
