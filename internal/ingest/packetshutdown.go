package ingest

import (
	"context"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
)

// Drain stops taking datagrams, and returns when those in hand are settled and the sockets closed, or ctx ends. The
// sockets stay open for the answers until then; what they have received, or receive meanwhile, and nobody has read is
// lost, and counts nowhere: its devices send it again.
func (s *PacketServer) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.begin()
	for _, c := range s.conns {
		c.SetReadDeadline(deadline.Past)
	}
	s.mu.Unlock()
	s.reading.Wait()
	if err := wait(ctx, &s.pending); err != nil {
		return fmt.Errorf("datagrams still in hand: %w", err)
	}
	s.Close()
	return nil
}

// Close closes the sockets, after Drain: nothing is answered any more.
func (s *PacketServer) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}
