package redisstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// inspectCluster says what the cluster promises: as much as the weakest master.
func (e *Engine) inspectCluster(ctx context.Context) (engine.Durability, error) {
	first := e.shards[0]
	if _, err := first.seat.term(ctx); err != nil {
		return engine.Durability{}, first.classify(err)
	}
	if err := e.layout.look(ctx); err != nil {
		return engine.Durability{}, first.classify(err)
	}
	masters := map[string]*shard{}
	for _, s := range e.shards {
		masters[s.address()] = s
	}
	addresses := slices.Sorted(maps.Keys(masters))
	promises, errs := make([]engine.Durability, len(addresses)), make([]error, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { promises[i], errs[i] = masters[address].inspect(ctx, e.opt.Durability) })
	}
	asking.Wait()

	var all engine.Durability
	said := map[string][]string{} // by warning, the masters that it is about
	var order []string
	for i, d := range promises {
		if d.Engine == "" {
			d.Warnings = []string{errs[i].Error()}
		} else if all.Engine == "" {
			all.Engine, all.Class, all.Facts = d.Engine+", a cluster", d.Class, d.Facts
		} else {
			all.Class = weaker(all.Class, d.Class)
		}
		for _, w := range d.Warnings {
			if said[w] == nil {
				order = append(order, w)
			}
			said[w] = append(said[w], addresses[i])
		}
	}
	for _, w := range order {
		if on := said[w]; len(on) < len(addresses) {
			w = strings.Join(on, ", ") + ": " + w
		}
		all.Warnings = append(all.Warnings, w)
	}
	all.Facts = append(e.cluster.facts(addresses), all.Facts...)
	all.Warnings = append(all.Warnings, e.cluster.warnings(addresses)...)
	return all, worst(errs, all.Engine == "")
}

// worst is what no master can do at the configured durability, or why none answers.
func worst(errs []error, silent bool) (err error) {
	for _, one := range errs {
		if silent || errors.Is(one, engine.ErrDurability) {
			err = cmp.Or(err, one)
		}
	}
	return err
}

// classes are from weakest to strongest.
var classes = []engine.Class{engine.MemoryOnly, engine.OneSecond, engine.Fsynced, engine.Replicated}

func weaker(a, b engine.Class) engine.Class {
	return classes[min(slices.Index(classes, a), slices.Index(classes, b))]
}

func (c *cluster) facts(masters []string) []engine.Fact {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []engine.Fact{
		{Name: "shards", Value: fmt.Sprintf("%d, at the masters %s", len(c.e.shards), strings.Join(masters, ", "))},
		{Name: "replicas", Value: strconv.Itoa(c.fewestReplicas(masters)) + " healthy, of each master at least"},
		{Name: "nodes", Value: fmt.Sprintf("%d, of %d asked %d answer", c.state.nodes, c.state.asked, c.state.answered)},
	}
}

// fewestReplicas is how many healthy replicas each of the masters has at least. c.mu is held.
func (c *cluster) fewestReplicas(masters []string) int {
	fewest := maxNodes
	for _, m := range masters {
		fewest = min(fewest, c.state.replicas[m])
	}
	return fewest
}

func (c *cluster) warnings(masters []string) (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := c.e.opt.Durability
	if c.state.answered < c.state.asked {
		all = append(all, fmt.Sprintf("not all nodes of the cluster answer: %v", c.state.err))
	}
	switch fewest := c.fewestReplicas(masters); {
	case want.Replicas == 0:
		all = append(all, "a failover loses what the promoted replica has not got, although it was acknowledged: "+
			"set REDIS_DURABILITY=replicas=1, with two replicas of each master")
	case fewest <= want.Replicas:
		all = append(all, fmt.Sprintf("with %s and %s of a master nothing is stored in its shards while one is away, "+
			"as after each failover: add replicas", want, countReplicas(fewest)))
	}
	return all
}
