package redisstream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// probeShards asks all shards at once. There is no error while one of them stores.
func (e *Engine) probeShards(ctx context.Context) (engine.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	parts, errs := make([]engine.Status, len(e.shards)), make([]error, len(e.shards))
	var asking sync.WaitGroup
	for i, s := range e.shards {
		asking.Go(func() { parts[i], errs[i] = s.probe(ctx) })
	}
	err := e.layout.look(ctx)
	asking.Wait()

	all := engine.Status{
		Limit: e.opt.MaxLen, DeadLetterLimit: e.opt.DeadMaxBytes, MessageLimit: e.opt.MessageMaxBytes,
	}
	for i, s := range e.shards {
		add(&all, &parts[i])
		all.Shards = append(all.Shards, engine.Shard{Name: s.name, Err: errs[i], Length: parts[i].Length})
	}
	if err != nil && !e.layout.agreed.Load() {
		return all, e.shards[0].classify(err)
	}
	if slices.Contains(errs, nil) {
		return all, nil
	}
	return all, together(errs)
}

// together is the error of shards none of which stores. It is transient if one of them is.
func together(errs []error) error {
	transient := false
	var all []error
	for _, err := range errs {
		transient = transient || engine.IsTransient(err)
		if !slices.ContainsFunc(all, func(known error) bool { return known.Error() == err.Error() }) {
			all = append(all, err)
		}
	}
	return &engine.Error{Transient: transient, Err: errors.Join(all...)}
}

// add adds a shard's figures to those of all.
func add(to, more *engine.Status) {
	to.Known = to.Known || more.Known
	to.Length += more.Length
	to.OutOfMemory = to.OutOfMemory || more.OutOfMemory
	to.DeadLetterBytes += more.DeadLetterBytes
	to.MessageBytes += more.MessageBytes
	to.MessagesRemoved += more.MessagesRemoved
	if fuller(more, to) {
		to.Memory, to.MemoryLimit = more.Memory, more.MemoryLimit
	}
	for _, name := range slices.Sorted(maps.Keys(more.Groups)) {
		g, known := to.Groups[name]
		if !known && len(to.Groups) == engine.MaxGroups {
			continue
		}
		if to.Groups == nil {
			to.Groups = map[string]engine.Group{}
		}
		one := more.Groups[name]
		to.Groups[name] = engine.Group{
			Lag: sum(g.Lag, one.Lag), Unread: sum(g.Unread, one.Unread), Oldest: max(g.Oldest, one.Oldest),
		}
	}
}

// sum of what may be -1, which is not known.
func sum(a, b int64) int64 {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

// fuller says whether a shard's server has less memory left, by its limit, than the fullest so far.
func fuller(a, b *engine.Status) bool {
	if (a.MemoryLimit > 0) != (b.MemoryLimit > 0) {
		return a.MemoryLimit > 0
	}
	return float64(a.Memory)/float64(max(a.MemoryLimit, 1)) > float64(b.Memory)/float64(max(b.MemoryLimit, 1))
}
