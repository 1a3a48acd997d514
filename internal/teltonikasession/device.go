package teltonikasession

import (
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/mirror"
)

// device is who is logged in on a connection, as others see it. When another device logs in on the connection, that one
// gets a device of its own, and what was meant for the first cannot reach it. It implements command.Sender.
type device struct {
	visit   uint64        // the connection's number there
	mirror  *mirror.Queue // nil if no other platform sees the device
	frames  int           // acknowledged
	records int           // likewise
	sender
}

// TakenOver implements command.Sender.
func (d *device) TakenOver() { d.session.conn.TakenOver(d.imei) }

// Dismiss implements command.Sender.
func (d *device) Dismiss() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || d.waiting != nil {
		return false
	}
	if d.leaves = true; !d.carries {
		d.dismiss()
	}
	return true
}
