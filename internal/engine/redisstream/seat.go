package redisstream

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// seat is a shard's place at a server. Which server that is says the URL, or whoever knows the master: sentinels, the
// nodes of a cluster. They begin a term for each one that they name.
type seat struct {
	e       *Engine
	look    func(context.Context) // finds the first one at once; nil if the URL has named it
	nobody  *redis.Client         // fails with the reason why no server is known
	present atomic.Pointer[term]
	failure atomic.Value // why none is known, as a reason
}

type reason struct{ error }

// newSeat is one that nobody has been named for yet, and why.
func (e *Engine) newSeat(look func(context.Context), why error) *seat {
	s := &seat{e: e, look: look}
	s.failure.Store(reason{why})
	o := *e.target.Server
	o.Addr = "nobody"
	o.Dialer = func(context.Context, string, string) (net.Conn, error) { return nil, s.failure.Load().(reason) }
	s.nobody = redis.NewClient(&o)
	return s
}

// fixedSeat is at one server for ever.
func (e *Engine) fixedSeat(address string) *seat {
	s := e.newSeat(nil, nil)
	s.present.Store(e.newTerm(address))
	return s
}

// term is the present one.
func (s *seat) term(ctx context.Context) (*term, error) {
	if t := s.present.Load(); t != nil {
		return t, nil
	}
	if s.look != nil {
		s.look(ctx)
	}
	if t := s.present.Load(); t != nil {
		return t, nil
	}
	return nil, s.failure.Load().(reason)
}

// begin ends the present term, if there is one, and begins the next one. One goroutine calls it at a time.
func (s *seat) begin(next *term) (old *term) {
	if old = s.present.Swap(next); old != nil {
		_ = old.close()
	}
	return old
}

// close ends the last term. No other one begins after it.
func (s *seat) close() error {
	_ = s.nobody.Close()
	if t := s.present.Load(); t != nil {
		return t.close()
	}
	return nil
}
