package ingest

import (
	"context"
	"fmt"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
)

// How the sockets of many devices are closed, so that a fleet does not come back as one wave; see spread.
const (
	closeSpread   = 2 * time.Second
	closeInterval = time.Millisecond
)

// StopListening stops taking connections, and nothing else. Those that are dismissed from now on end for the shutdown.
func (s *Server) StopListening() {
	s.mu.Lock()
	s.closed.Store(true)
	for _, l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	s.accepts.Wait()
}

// Drain stops taking connections and frames: it closes the listeners, ends what is still being opened, wakes the
// sessions that wait for their device, and returns when every session has finished the frame that it held, or ctx ends.
// The sockets stay open.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.begin()
	for c := range s.conns {
		c.SetReadDeadline(deadline.Past)
	}
	s.mu.Unlock()
	s.StopListening()
	if err := wait(ctx, &s.sessions); err != nil {
		return fmt.Errorf("sessions still at work: %w", err)
	}
	return nil
}

// Close closes what connections are left, after Drain: spread over a moment, or at once when ctx ends.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	left := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		left = append(left, c)
	}
	s.mu.Unlock()

	end := func(c *Conn) {
		c.Conn.Close()
		s.remove(c)
	}
	for _, c := range left[spread(ctx, left, end):] {
		end(c)
	}
}

// spread ends the connections one every closeInterval, or several if there are so many, so that it takes no longer
// than closeSpread. It returns how many it has ended, which are fewer if ctx ends first.
func spread(ctx context.Context, conns []*Conn, end func(*Conn)) int {
	together := 1 + len(conns)/int(closeSpread/closeInterval)
	ticker := time.NewTicker(closeInterval)
	defer ticker.Stop()
	for i, c := range conns {
		if i > 0 && i%together == 0 {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return i
			}
		}
		end(c)
	}
	return len(conns)
}
