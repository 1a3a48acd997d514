package teltonikasession

import (
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// device is who is logged in on a connection, as others see it. When another device logs in on the connection, that one
// gets a device of its own, and what was meant for the first cannot reach it. It implements command.Sender.
type device struct {
	imei  string
	stats deviceStats
	sender
}

// deviceStats are what is told of a device that is connected. Their lock is their own: a device that does not read holds
// up nobody who asks for them.
type deviceStats struct {
	mu       sync.Mutex
	codec    teltonika.Codec // of the last frame of records
	frames   uint64          // acknowledged
	records  uint64          // acknowledged
	lastSeen time.Time
}

// add takes down a frame.
func (d *deviceStats) add(w *frameContext) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastSeen = w.Received
	if w.acknowledged >= 0 {
		d.codec = w.Codec
		d.frames++
		d.records += uint64(w.acknowledged)
	}
}

// Describe implements command.Sender.
func (d *device) Describe() command.Device {
	stats := &d.stats
	stats.mu.Lock()
	defer stats.mu.Unlock()
	c := command.Device{
		IMEI: d.imei, Since: d.loggedIn, Remote: d.session.conn.RemoteAddr().String(), Transport: d.session.conn.Transport(),
		Frames: stats.frames, Records: stats.records, LastSeen: stats.lastSeen,
	}
	if stats.codec != 0 {
		c.Codec = stats.codec.String()
	}
	if c.LastSeen.IsZero() {
		c.LastSeen = c.Since
	}
	return c
}
