package redisstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// askSentinelsEvery is how often the sentinels are asked. They need seconds to agree on another master.
	askSentinelsEvery = 500 * time.Millisecond
	// sentinelPatience is how long one of them may take to answer.
	sentinelPatience = time.Second
)

// sentinels say which server is the master, again and again, because nobody else may notice that it is another one: the
// old one may be frozen, or cut off together with us, and keeps our connections.
type sentinels struct {
	e    *Engine
	all  []*redis.SentinelClient
	seat *seat

	mu    sync.Mutex // one asks at a time
	epoch int64      // of the configuration by which the present term began
}

func newSentinels(e *Engine) *sentinels {
	s := &sentinels{e: e}
	s.seat = e.newSeat(s.look, errors.New("the sentinels have not been asked yet"))
	for _, address := range e.target.Sentinels {
		s.all = append(s.all, e.target.Sentinel(address))
	}
	return s
}

// follow asks until ctx ends.
func (s *sentinels) follow(ctx context.Context) {
	for {
		s.mu.Lock()
		s.ask(ctx)
		s.mu.Unlock()
		if !pause(ctx, askSentinelsEvery) {
			return
		}
	}
}

// look asks for the first master.
func (s *sentinels) look(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seat.present.Load() == nil {
		s.ask(ctx)
	}
}

// opinion is what a sentinel says.
type opinion struct {
	master   string // its address
	epoch    int64  // the configuration's: it grows with each failover
	replicas map[string]replicaState
	quorum   int64 // how many sentinels have to agree that the master is down
	known    int64 // how many sentinels there are
	err      error
}

// replicaState is what a sentinel knows of a replica. It may be seconds old.
type replicaState struct {
	promotable bool // it is not down
	linked     bool // to the master
}

// ask asks all sentinels and begins another term if they name another master.
func (s *sentinels) ask(ctx context.Context) {
	best, answered, err := best(s.opinions(ctx))
	t := s.seat.present.Load()
	switch {
	case answered == 0:
		s.seat.failure.Store(reason{fmt.Errorf("no sentinel of %s names the master %s: %w",
			strings.Join(s.e.target.Sentinels, ","), s.e.target.Master, err)})
	case t != nil && t.address == best.master:
		s.epoch = best.epoch
		t.attend(best.replicas)
	case t != nil && best.epoch < s.epoch && answered <= len(s.all)/2:
		// Few of them are left, and what they say is older than what we know.
	case ctx.Err() == nil:
		s.begin(best)
	}
}

// begin begins the term of the master that is named.
func (s *sentinels) begin(o opinion) {
	next := s.e.newTerm(o.master)
	next.attend(o.replicas)
	s.epoch = o.epoch
	if old := s.seat.begin(next); old != nil {
		s.e.log.Warn("redis sentinels name another master", "from", old.address, "to", next.address)
	}
}

// opinions asks all sentinels at once.
func (s *sentinels) opinions(ctx context.Context) []opinion {
	ctx, cancel := context.WithTimeout(ctx, sentinelPatience)
	defer cancel()
	all := make([]opinion, len(s.all))
	var asking sync.WaitGroup
	for i, c := range s.all {
		asking.Go(func() {
			if all[i] = askSentinel(ctx, c, s.e.target.Master); all[i].err != nil {
				all[i].err = fmt.Errorf("%s: %s", s.e.target.Sentinels[i], s.e.target.Redact(all[i].err.Error()))
			}
		})
	}
	asking.Wait()
	return all
}

func askSentinel(ctx context.Context, c *redis.SentinelClient, name string) (o opinion) {
	// The address comes from this question, because the sentinel that leads a failover answers it with the new master
	// while it still describes the old one.
	address, err := c.GetMasterAddrByName(ctx, name).Result()
	if errors.Is(err, redis.Nil) || err == nil && len(address) != 2 {
		err = fmt.Errorf("it knows no master of the name %s", name)
	}
	if err != nil {
		return opinion{err: err}
	}
	o.master = net.JoinHostPort(address[0], address[1])
	master, err := c.Master(ctx, name).Result()
	if err != nil {
		return opinion{err: err}
	}
	o.epoch, _ = strconv.ParseInt(master["config-epoch"], 10, 64)
	o.quorum, _ = strconv.ParseInt(master["quorum"], 10, 64)
	o.known, _ = strconv.ParseInt(master["num-other-sentinels"], 10, 64)
	o.known++
	replicas, err := c.Replicas(ctx, name).Result()
	if err != nil {
		return opinion{err: err}
	}
	o.replicas = map[string]replicaState{}
	for _, r := range replicas {
		// A replica that is being promoted drops all connections, so one that is only disconnected is not down.
		down := strings.Contains(r["flags"], "s_down") || strings.Contains(r["flags"], "o_down")
		o.replicas[net.JoinHostPort(r["ip"], r["port"])] = replicaState{!down, r["master-link-status"] == "ok"}
	}
	return o
}

// join adds what another sentinel holds for possible.
func (o *opinion) join(other opinion) {
	for address, state := range other.replicas {
		known := o.replicas[address]
		o.replicas[address] = replicaState{known.promotable || state.promotable, known.linked || state.linked}
	}
}

// healthy is how many replicas are up and linked.
func (o *opinion) healthy() (n int) {
	for _, state := range o.replicas {
		if state.promotable && state.linked {
			n++
		}
	}
	return n
}

// best is the opinion of the highest epoch, because a sentinel that was cut off names an old master. err is why a
// sentinel has none.
func best(opinions []opinion) (best opinion, answered int, err error) {
	for _, o := range opinions {
		if o.err != nil {
			err = cmp.Or(err, o.err)
			continue
		}
		if answered++; answered == 1 || o.epoch > best.epoch {
			best = o
		} else if o.master == best.master {
			best.join(o)
		}
	}
	return best, answered, err
}

// close follows the end of follow's ctx, so that no other term begins.
func (s *sentinels) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		_ = c.Close()
	}
	return s.seat.close()
}
