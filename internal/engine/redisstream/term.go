package redisstream

import (
	"context"
	"net"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// term is the time in which one server is the master: for ever, if nobody names another one. Whatever a lane concludes
// from what it reads must have come from the server that it writes to, so the client is of this server only.
type term struct {
	address string
	client  *redis.Client
	over    context.Context // ends when another master is named
	end     context.CancelFunc

	redirected func() // the server says that it has not got the shard; nil without a cluster

	mu        sync.Mutex
	followers map[string]bool // addresses of the replicas that have to be connected
}

// newTerm begins the term of the server at the address.
func (e *Engine) newTerm(address string) *term {
	t := &term{address: address, followers: map[string]bool{}}
	t.over, t.end = context.WithCancel(context.Background())
	o := *e.target.Server
	o.Addr = address
	o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, &o) }
	t.client = redis.NewClient(&o)
	return t
}

// close ends the term, and all that waits for its server.
func (t *term) close() error {
	t.end()
	return t.client.Close()
}

// where is what the URL names, for people.
func (e *Engine) where() string {
	switch t := e.target; {
	case len(t.Nodes) > 0:
		return "cluster " + strings.Join(t.Nodes, ",")
	case len(t.Sentinels) > 0:
		return t.Master + " of sentinels " + strings.Join(t.Sentinels, ",")
	default:
		return t.Server.Addr
	}
}

// elects says whether somebody may name another master.
func (e *Engine) elects() bool { return e.sentinels != nil || e.cluster != nil }

func (e *Engine) closeSeats() error {
	switch {
	case e.cluster != nil:
		return e.cluster.close()
	case e.sentinels != nil:
		return e.sentinels.close()
	}
	return e.shards[0].seat.close()
}
