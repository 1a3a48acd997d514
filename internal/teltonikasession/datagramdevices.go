package teltonikasession

import (
	"container/list"
	"sync"
	"time"
)

// maxDatagramDevices is how many devices are counted: those heard last.
const maxDatagramDevices = 1 << 16

// datagramDevices are the devices that have sent a datagram within the idle timeout. They are counted, and the first
// datagram of each is logged; nothing else depends on it, so it does no harm that anybody may send under any name.
type datagramDevices struct {
	idle time.Duration

	mu     sync.Mutex
	byIMEI map[string]*list.Element
	seen   list.List // of *datagramDevice, the one heard last in front
}

type datagramDevice struct {
	imei     string
	lastSeen time.Time
}

func newDatagramDevices(idle time.Duration) *datagramDevices {
	return &datagramDevices{idle: idle, byIMEI: make(map[string]*list.Element)}
}

// see notes a datagram and reports whether its device was not listed.
func (d *datagramDevices) see(o *source) (added bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(o.Received)
	e, listed := d.byIMEI[o.DeviceID]
	if !listed {
		if len(d.byIMEI) >= maxDatagramDevices {
			d.remove(d.seen.Back())
		}
		e = d.seen.PushFront(&datagramDevice{imei: o.DeviceID})
		d.byIMEI[o.DeviceID] = e
	}
	d.seen.MoveToFront(e)
	device := e.Value.(*datagramDevice)
	if o.Received.After(device.lastSeen) {
		device.lastSeen = o.Received
	}
	return !listed
}

// expire forgets the devices that have been silent for the idle timeout. The lock is held.
func (d *datagramDevices) expire(now time.Time) {
	for e := d.seen.Back(); e != nil && now.Sub(e.Value.(*datagramDevice).lastSeen) > d.idle; e = d.seen.Back() {
		d.remove(e)
	}
}

func (d *datagramDevices) remove(e *list.Element) {
	delete(d.byIMEI, d.seen.Remove(e).(*datagramDevice).imei)
}

func (d *datagramDevices) count(now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(now)
	return len(d.byIMEI)
}
