package ingest

import "context"

// Revoke closes the connections of devices that are not known any more, spread over a moment, and returns how many. The
// frame that such a device is sending is not acknowledged. It ends early with ctx. known must not wait for anything.
//
// A device that logs in while Revoke runs may be missed; the next call finds it.
func (s *Server) Revoke(ctx context.Context, known func(device string) bool) int {
	var revoked []*Conn
	s.mu.Lock()
	for device, c := range s.devices {
		if !known(device) {
			revoked = append(revoked, c)
		}
	}
	s.mu.Unlock()

	return spread(ctx, revoked, func(c *Conn) {
		c.cutFor.CompareAndSwap(nil, new(ReasonRevoked))
		c.Close()
	})
}
