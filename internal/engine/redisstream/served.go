package redisstream

import (
	"context"
	"fmt"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// served is what sentinels say of the servers that they look after; nil without sentinels.
type served []opinion

// served asks all sentinels.
func (e *Engine) served(ctx context.Context) (served, error) {
	if e.sentinels == nil {
		return nil, nil
	}
	if _, err := e.sentinels.seat.term(ctx); err != nil {
		return nil, err
	}
	return e.sentinels.opinions(ctx), nil
}

func (s served) facts() []engine.Fact {
	if s == nil {
		return nil
	}
	o, answered, _ := best(s)
	return []engine.Fact{
		{Name: "master", Value: o.master},
		{Name: "replicas", Value: strconv.Itoa(o.healthy()) + " healthy"},
		{Name: "sentinels", Value: fmt.Sprintf("%d of the %d in the URL answer, they know %d", answered, len(s), o.known)},
		{Name: "quorum", Value: strconv.FormatInt(o.quorum, 10)},
	}
}

func (s served) warnings(want Durability) (all []string) {
	if s == nil {
		return nil
	}
	o, answered, err := best(s)
	if answered < len(s) {
		all = append(all, fmt.Sprintf("not all sentinels answer: %v", err))
	}
	for _, other := range s {
		if other.err == nil && other.master != o.master {
			all = append(all, fmt.Sprintf("sentinels disagree on the master: %s or %s", o.master, other.master))
			break
		}
	}
	if o.known < 3 {
		all = append(all, fmt.Sprintf("%d sentinels cannot agree when one fails with the master: run three, "+
			"on machines of their own", o.known))
	}
	switch {
	case want.Replicas == 0:
		all = append(all, "a failover loses what the promoted replica has not got, although it was acknowledged: "+
			"set REDIS_DURABILITY=replicas=1, with two replicas")
	case o.healthy() <= want.Replicas:
		all = append(all, fmt.Sprintf("with %s and %s nothing is stored while one is away, as after each failover: "+
			"add replicas", want, countReplicas(o.healthy())))
	}
	return all
}

func countReplicas(n int) string {
	if n == 1 {
		return "one replica"
	}
	return fmt.Sprintf("%d replicas", n)
}
