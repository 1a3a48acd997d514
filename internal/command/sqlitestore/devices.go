package sqlitestore

import (
	"context"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// devices are the connected ones, and those among them that may have commands for the receiver.
type devices struct {
	wake chan struct{} // holds one when there is something to hand out

	mu        sync.Mutex
	connected map[string]*device
	waiting   map[string]struct{}
}

// device is what is known of a connected device.
type device struct {
	connection uint64
	handed     int64 // the seq of the last command that the receiver was given, those returned not counted
}

func newDevices() devices {
	return devices{wake: make(chan struct{}, 1), connected: map[string]*device{}, waiting: map[string]struct{}{}}
}

// Connected implements command.Store.
func (s *Store) Connected(c command.Connection) {
	d := &s.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.connected[c.IMEI]; known == nil || known.connection < c.Number {
		d.connected[c.IMEI] = &device{connection: c.Number}
		d.wait(c.IMEI)
	}
}

// Disconnected implements command.Store.
func (s *Store) Disconnected(c command.Connection) {
	d := &s.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.connected[c.IMEI]; known != nil && known.connection == c.Number {
		delete(d.connected, c.IMEI)
		delete(d.waiting, c.IMEI)
	}
}

// Return implements command.Store.
func (s *Store) Return(ctx context.Context, id string) error {
	r, err := transact(ctx, s, func(tx *transaction) (row, error) {
		all, err := tx.rows(`id = ?`, id)
		if len(all) == 0 {
			return row{}, err
		}
		return all[0], err
	})
	if err == nil && s.mayBegin(&r) {
		s.devices.returned(&r)
	}
	return err
}

// wait has the device's commands handed out. mu is held.
func (d *devices) wait(imei string) {
	d.waiting[imei] = struct{}{}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// submitted says that the device has a new command.
func (d *devices) submitted(imei string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connected[imei] != nil {
		d.wait(imei)
	}
}

// isConnected reports whether the device is.
func (d *devices) isConnected(imei string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.connected[imei] != nil
}

// whyExpired is the reason of a command that expired in the queue.
func (d *devices) whyExpired(imei string) string {
	if d.isConnected(imei) {
		return command.ReasonNoLease
	}
	return command.ReasonNotConnected
}

// returned has the command be handed out again, and with it those after it.
func (d *devices) returned(r *row) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.connected[r.IMEI]; known != nil {
		known.handed = min(known.handed, r.seq-1)
		d.wait(r.IMEI)
	}
}

// handOutAll has everything be handed out again, at the next sweep.
func (d *devices) handOutAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for imei, known := range d.connected {
		known.handed = 0
		d.waiting[imei] = struct{}{}
	}
}

// next takes a device out of those that wait.
func (d *devices) next() (imei string, at device, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for imei := range d.waiting {
		delete(d.waiting, imei)
		if known := d.connected[imei]; known != nil {
			return imei, *known, true
		}
	}
	return "", device{}, false
}

// claim notes that the receiver is about to be given the device's commands up to this one. It reports whether it
// should: not if the device is not where it was, because it has connected anew, or commands were returned. It waits
// then.
func (d *devices) claim(imei string, at device, last int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.connected[imei]
	if known == nil || *known != at {
		return false
	}
	known.handed = last
	return true
}

// again has the device wait for the next time, after a fault.
func (d *devices) again(imei string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connected[imei] != nil {
		d.waiting[imei] = struct{}{}
	}
}
