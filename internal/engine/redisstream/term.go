package redisstream

import (
	"context"
	"net"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// term is the time in which one server is the master: for ever, if there are no sentinels. Whatever a lane concludes
// from what it reads must have come from the server that it writes to, so the client is of this server only.
type term struct {
	address string
	client  *redis.Client
	over    context.Context // ends when the sentinels name another master
	end     context.CancelFunc

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

// term is the present one. Without sentinels that is always known.
func (e *Engine) term(ctx context.Context) (*term, error) {
	if e.sentinels == nil {
		return e.only, nil
	}
	return e.sentinels.term(ctx)
}

// client is for everything but the lanes' writes. While no master is known, every command fails with the reason.
func (e *Engine) client(ctx context.Context) *redis.Client {
	t, err := e.term(ctx)
	if err != nil {
		return e.sentinels.nobody
	}
	return t.client
}

// address is the server's, for people.
func (e *Engine) address() string {
	if e.sentinels != nil {
		if t := e.sentinels.present.Load(); t != nil {
			return t.address
		}
	}
	if len(e.target.Sentinels) > 0 {
		return e.target.Master + " of sentinels " + strings.Join(e.target.Sentinels, ",")
	}
	return e.target.Server.Addr
}

func (e *Engine) closeClients() error {
	if e.sentinels != nil {
		e.sentinels.close()
		return nil
	}
	return e.only.close()
}
