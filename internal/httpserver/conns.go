package httpserver

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// conns are the open connections, max at most. When one more comes, another one goes: one of the same address, if that
// has more than its share, or else the one that has waited longest for its client's next request.
type conns struct {
	max, share int

	mu      sync.Mutex
	open    map[net.Conn]*conn
	waiting list.List // of *conn, the longest first
	busy    list.List // of *conn with a request in hand, the longest first
	of      map[netip.Addr]int
}

// conn is an open connection.
type conn struct {
	net.Conn
	network netip.Addr
	in      *list.List
	element *list.Element
}

func newConns(most int) *conns {
	return &conns{max: most, share: max(1, most/2), open: make(map[net.Conn]*conn), of: make(map[netip.Addr]int)}
}

// state implements http.Server.ConnState.
func (s *conns) state(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.add(c)
	case http.StateIdle:
		if known := s.open[c]; known != nil {
			known.move(&s.waiting)
		}
	case http.StateClosed, http.StateHijacked:
		s.remove(s.open[c])
	}
}

func (s *conns) add(c net.Conn) {
	network, _ := limit.AddressOf(c.RemoteAddr())
	added := &conn{Conn: c, network: network}
	added.move(&s.waiting)
	s.open[c] = added
	s.of[network]++
	if len(s.open) > s.max {
		goes := s.first(added)
		s.remove(goes)
		goes.Close()
	}
}

// first is the connection that goes for the new one, which may be that one itself.
func (s *conns) first(added *conn) *conn {
	greedy := s.of[added.network] > s.share
	for e := s.waiting.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); greedy && c.network == added.network || !greedy && c != added {
			return c
		}
	}
	for e := s.busy.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); s.of[c.network] > s.share {
			return c
		}
	}
	return added
}

func (s *conns) remove(c *conn) {
	if c == nil || s.open[c.Conn] != c {
		return
	}
	delete(s.open, c.Conn)
	c.in.Remove(c.element)
	if s.of[c.network]--; s.of[c.network] == 0 {
		delete(s.of, c.network)
	}
}

// closeWaiting ends the connections without a request, which the end of the server would wait for.
func (s *conns) closeWaiting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.waiting.Front(); e != nil; e = e.Next() {
		e.Value.(*conn).Close()
	}
}

// move puts the connection at the end of a list.
func (c *conn) move(to *list.List) {
	if c.in != nil {
		c.in.Remove(c.element)
	}
	c.in, c.element = to, to.PushBack(c)
}

type contextKey struct{}

// context implements http.Server.ConnContext.
func (s *conns) context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// handler knows which connections have a request in hand: its header is read, which is more than having begun to send
// one.
func (s *conns) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(contextKey{}).(net.Conn)
		s.mu.Lock()
		if known := s.open[c]; known != nil {
			known.move(&s.busy)
		}
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}
