package teltonikasession

import (
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// device is who is logged in on a connection, as others see it. When another device logs in on the connection, that one
// gets a device of its own, and what was meant for the first cannot reach it. It implements command.Sender.
type device struct {
	known *devices.Device // nil without Options.Devices
	visit uint64          // the connection's number there
	stats deviceStats
	sender
}

// deviceStats are what is told of a device that is connected. They have no lock: a device that does not read holds up
// nobody who asks for them.
type deviceStats struct {
	lastSeen atomic.Int64  // ns since 1970; 0 = not since the login
	records  atomic.Uint64 // acknowledged
	frames   atomic.Uint32 // acknowledged
	codec    atomic.Uint32 // of the last frame of records; 0 = none yet
}

// add takes down a frame that was read to its end.
func (d *deviceStats) add(w *frameContext) {
	if w.Received.IsZero() {
		return
	}
	d.lastSeen.Store(w.Received.UnixNano())
	if w.acknowledged >= 0 {
		d.codec.Store(uint32(w.Codec))
		d.frames.Add(1)
		d.records.Add(uint64(w.acknowledged))
	}
}

// TakenOver implements command.Sender.
func (d *device) TakenOver() { d.session.conn.TakenOver(d.imei) }

// Describe implements command.Sender.
func (d *device) Describe() command.Device {
	c := command.Device{
		IMEI: d.imei, Since: d.loggedIn, LastSeen: d.loggedIn,
		Remote: d.session.conn.RemoteAddr().String(), Transport: d.session.conn.Transport(),
		Frames: uint64(d.stats.frames.Load()), Records: d.stats.records.Load(),
	}
	if codec := teltonika.Codec(d.stats.codec.Load()); codec != 0 {
		c.Codec = codec.String()
	}
	if at := d.stats.lastSeen.Load(); at != 0 {
		c.LastSeen = time.Unix(0, at)
	}
	return c
}
