package redisstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// askNodesEvery is how often nodes are asked who has which slot. They need seconds to elect another master.
	askNodesEvery = 500 * time.Millisecond
	// nodePatience is how long one of them may take to answer.
	nodePatience = time.Second
	// nodesAtOnce is how many are asked at once, one after the other of all.
	nodesAtOnce = 6
)

// cluster says which node is the master of each shard, by its slot. The nodes are asked again and again, because a
// master that is frozen or cut off does not say that it has lost its slots, and at once when one answers that they have
// moved.
type cluster struct {
	e     *Engine
	seats []*slotSeat
	wake  chan struct{} // somebody was sent elsewhere

	mu    sync.Mutex // one asks at a time
	asked time.Time  // when that was last
	known []string   // addresses of the nodes, in the order in which they are asked; those of the URL at first
	ask   map[string]*redis.Client
	state clusterState
}

// slotSeat is the seat at the master of a slot.
type slotSeat struct {
	*seat
	slot  int
	epoch int64       // of its master's configuration; cluster.mu
	doubt atomic.Bool // the master says that it has not got the slot
}

// clusterState is what the nodes have answered lately, for people.
type clusterState struct {
	nodes, asked, answered int
	err                    error          // why one has not answered
	replicas               map[string]int // of each master's address, those that have not failed
}

func newCluster(e *Engine) *cluster {
	return &cluster{e: e, wake: make(chan struct{}, 1), known: e.target.Nodes, ask: map[string]*redis.Client{}}
}

// seatOf is the seat at the master of a key. All are made before follow runs.
func (c *cluster) seatOf(key string) *seat {
	at := &slotSeat{slot: slotOf(key)}
	at.seat = c.e.newSeat(c.look, errors.New("the nodes of the cluster have not been asked yet"))
	c.seats = append(c.seats, at)
	return at.seat
}

// follow asks until ctx ends.
func (c *cluster) follow(ctx context.Context) {
	for ctx.Err() == nil {
		c.mu.Lock()
		c.askNodes(ctx)
		c.mu.Unlock()
		next := time.NewTimer(askNodesEvery)
		select {
		case <-ctx.Done():
		case <-next.C:
		case <-c.wake:
			pause(ctx, shortestBackoff) // many may be sent elsewhere at once
		}
		next.Stop()
	}
}

// look asks for the first masters, unless somebody has done so just now.
func (c *cluster) look(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) >= askNodesEvery {
		c.askNodes(ctx)
	}
}

// view is what one node says.
type view struct {
	nodes []clusterNode
	err   error
}

// askNodes asks some nodes, and begins another term where a slot has another master.
func (c *cluster) askNodes(ctx context.Context) {
	addresses := c.next()
	views := c.views(ctx, addresses)
	if ctx.Err() != nil {
		return
	}
	c.asked = time.Now()
	c.state = clusterState{asked: len(addresses), replicas: map[string]int{}}
	var all []clusterNode
	for _, v := range views {
		if v.err == nil {
			c.state.answered++
		}
		c.state.err = cmp.Or(c.state.err, v.err)
		all = append(all, v.nodes...)
	}
	if c.state.answered > 0 {
		c.learn(all)
	}
	for _, s := range c.seats {
		c.settle(s, all)
	}
}

// next are the nodes to ask: those that were asked last come last.
func (c *cluster) next() []string {
	n := min(len(c.known), nodesAtOnce)
	now := slices.Clone(c.known[:n])
	c.known = append(slices.Clone(c.known[n:]), now...)
	return now
}

// views asks nodes.
func (c *cluster) views(ctx context.Context, addresses []string) []view {
	ctx, cancel := context.WithTimeout(ctx, nodePatience)
	defer cancel()
	views := make([]view, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		node := c.ask[address]
		if node == nil {
			node = c.e.target.Node(address)
			c.ask[address] = node
		}
		asking.Go(func() {
			text, err := node.ClusterNodes(ctx).Result()
			if err == nil {
				views[i].nodes, err = parseNodes(text, address, c.e.target.Server.TLSConfig != nil)
			}
			if err != nil {
				views[i].err = fmt.Errorf("%s: %s", address, c.e.target.Redact(err.Error()))
			}
		})
	}
	asking.Wait()
	return views
}

// learn takes which nodes there are: those that have gone are not asked any more, new ones are first. The URL's stay,
// because a node that was cut off for long may know nobody who is still there.
func (c *cluster) learn(all []clusterNode) {
	there := map[string]bool{}
	for _, address := range c.e.target.Nodes {
		there[address] = true
	}
	for i := range all {
		if !all[i].failed {
			there[all[i].address] = true
		}
	}
	c.known = slices.DeleteFunc(c.known, func(a string) bool { return !there[a] })
	for _, a := range c.known {
		delete(there, a)
	}
	for a := range there {
		c.known = slices.Insert(c.known, 0, a)
	}
	for a, node := range c.ask {
		if !slices.Contains(c.known, a) {
			_ = node.Close()
			delete(c.ask, a)
		}
	}
	c.state.nodes = len(c.known)
}

// owner is the master of a slot by the opinion of the latest configuration: a node that was cut off names an old one.
// What a node says of itself counts more than what others do.
func owner(slot int, all []clusterNode) *clusterNode {
	without := map[string]bool{} // nodes that say that they have not got it
	for i := range all {
		if all[i].itself && !all[i].serves(slot) {
			without[all[i].id] = true
		}
	}
	var best *clusterNode
	for i := range all {
		n := &all[i]
		if n.master == "" && n.serves(slot) && !without[n.id] && (best == nil || n.epoch > best.epoch) {
			best = n
		}
	}
	return best
}

// settle begins a term at the slot's master if it is another one.
func (c *cluster) settle(s *slotSeat, all []clusterNode) {
	t, best := s.present.Load(), owner(s.slot, all)
	if best == nil {
		if t == nil {
			s.failure.Store(reason{c.nobody(s.slot)})
		}
		return
	}
	replicas := replicasOf(best.id, all)
	c.state.replicas[best.address] = promotable(replicas)
	doubted := s.doubt.Swap(false)
	switch {
	case t != nil && t.address == best.address:
		s.epoch = best.epoch
		t.attend(replicas)
	case t != nil && best.epoch <= s.epoch && !doubted:
		// What it says is older than what we know.
	default:
		next := c.e.newTerm(best.address)
		next.redirect(c.sentElsewhere(s))
		next.attend(replicas)
		s.epoch = best.epoch
		if old := s.begin(next); old != nil {
			c.e.log.Warn("a slot of the redis cluster has another master", "slot", s.slot, "from", old.address,
				"to", next.address)
		}
	}
}

// nobody says why a slot has no master.
func (c *cluster) nobody(slot int) error {
	if c.state.answered == 0 {
		return fmt.Errorf("no node of the cluster %s answers: %w", strings.Join(c.e.target.Nodes, ","), c.state.err)
	}
	return fmt.Errorf("no node of the redis cluster has slot %d", slot)
}

// sentElsewhere has the nodes asked at once.
func (c *cluster) sentElsewhere(s *slotSeat) func() {
	return func() {
		s.doubt.Store(true)
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// replicasOf are those of a master, by the addresses by which it names them.
func replicasOf(master string, all []clusterNode) map[string]replicaState {
	replicas := map[string]replicaState{}
	for i := range all {
		if n := &all[i]; n.master == master {
			known := replicas[n.peer]
			replicas[n.peer] = replicaState{promotable: known.promotable || !n.failed}
		}
	}
	return replicas
}

func promotable(replicas map[string]replicaState) (n int) {
	for _, r := range replicas {
		if r.promotable {
			n++
		}
	}
	return n
}

// close follows the end of follow's ctx, so that no other term begins.
func (c *cluster) close() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, node := range c.ask {
		_ = node.Close()
	}
	for _, s := range c.seats {
		err = cmp.Or(err, s.close())
	}
	return err
}
