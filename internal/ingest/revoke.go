package ingest

import (
	"context"
	"time"
)

// Revoke closes the connections of the devices that are no longer known, one every closeInterval or several, so that
// it takes no longer than closeSpread, and returns how many. What such a device is sending is not acknowledged any
// more. It ends early with ctx. known must not wait for anything.
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

	together := 1 + len(revoked)/int(closeSpread/closeInterval)
	ticker := time.NewTicker(closeInterval)
	defer ticker.Stop()
	for i, c := range revoked {
		if i > 0 && i%together == 0 {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return i
			}
		}
		c.revoked.Store(true)
		c.Close()
	}
	return len(revoked)
}
