package ingest

import (
	"context"
	"fmt"
	"time"
)

// The sockets are closed one every closeInterval, or several if there are so many that it would take longer than
// closeSpread, so that a fleet does not come back to the next instance as one wave.
const (
	closeSpread   = 2 * time.Second
	closeInterval = time.Millisecond
)

// Drain stops taking connections and frames: it closes the listeners, wakes the sessions that wait for their
// device, and returns when every session has finished the frame that it held, or ctx ends. The sockets stay open.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.isDraining() {
		close(s.draining)
	}
	for _, l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.SetReadDeadline(past)
	}
	s.mu.Unlock()
	s.accepts.Wait()
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

	together := 1 + len(left)/int(closeSpread/closeInterval)
	ticker := time.NewTicker(closeInterval)
	defer ticker.Stop()
	for i, c := range left {
		if i > 0 && i%together == 0 {
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
		c.Conn.Close()
		s.remove(c)
	}
}
