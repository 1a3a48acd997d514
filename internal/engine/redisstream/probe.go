package redisstream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Probe finds out whether Redis would store a record. It uses connections of its own, so lanes
// that wait for Redis do not delay it.
func (e *Engine) Probe(ctx context.Context) (engine.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	stream := e.opt.Stream
	var add, groups *redis.Cmd
	var length *redis.IntCmd
	_, err := e.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		// An XADD with the one id that no stream accepts: Redis looks first whether it takes
		// writes of this user to this key at all, then refuses the id. So it is refused either
		// way, and how it is refused is the answer.
		add = p.Do(ctx, "XADD", stream, "0-0", "probe", "")
		length = p.XLen(ctx, stream)
		groups = p.Do(ctx, "XINFO", "GROUPS", stream)
		return nil
	})
	if err != nil && add.Err() == nil { // not even asked
		return engine.Status{}, e.classify(err)
	}
	if err := refusedForItsID(add.Err()); err != nil {
		return engine.Status{}, e.classify(err)
	}
	if err := length.Err(); err != nil && !optional(err) {
		return engine.Status{}, e.classify(err)
	}
	if err := e.probeDurability(ctx); err != nil {
		return engine.Status{}, e.classify(err)
	}
	return engine.Status{Length: length.Val(), Lag: parseLag(groups.Val())}, nil
}

// refusedForItsID turns the refusal that the probing XADD is meant to get into success.
func refusedForItsID(err error) error {
	if err == nil {
		return errors.New("redis accepted an entry with the id 0-0")
	}
	if strings.Contains(err.Error(), "must be greater than 0-0") {
		return nil
	}
	return err
}

// probeDurability finds out whether a batch could be confirmed.
func (e *Engine) probeDurability(ctx context.Context) error {
	switch d := e.opt.Durability; {
	case d.Replicas > 0:
		n, err := e.client.Do(ctx, "WAIT", d.Replicas, 1).Int()
		if err == nil && n < d.Replicas {
			err = fmt.Errorf("%d of %d redis replicas are connected", n, d.Replicas)
		}
		return err
	case d.Fsync:
		err := e.client.Do(ctx, "WAITAOF", 1, 0, 1).Err()
		if !unknownCommand(err) {
			return fsyncRefused(err)
		}
		settings, err := e.client.ConfigGet(ctx, "append*").Result()
		if err != nil {
			return fsyncRefused(err)
		}
		if settings["appendonly"] != "yes" || settings["appendfsync"] != "always" {
			return &engine.Error{Err: errNoFsync}
		}
	}
	return nil
}

// parseLag reads XINFO GROUPS: for each group a list of names and values in turn. A lag that Redis
// does not know (null, or before 7.0) is left out.
func parseLag(answer any) map[string]int64 {
	groups, _ := answer.([]any)
	if len(groups) == 0 {
		return nil
	}
	lag := make(map[string]int64, len(groups))
	for _, g := range groups {
		fields, _ := g.([]any)
		var name string
		behind, known := int64(0), false
		for i := 0; i+1 < len(fields); i += 2 {
			switch fields[i] {
			case "name":
				name, _ = fields[i+1].(string)
			case "lag":
				behind, known = fields[i+1].(int64)
			}
		}
		if known {
			lag[name] = behind
		}
	}
	return lag
}
