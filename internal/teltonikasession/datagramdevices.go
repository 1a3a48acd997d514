package teltonikasession

import (
	"container/list"
	"iter"
	"net/netip"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// maxDatagramDevices is how many devices are listed: those heard last.
const maxDatagramDevices = 1 << 16

// datagramDevices are the devices that have sent a datagram within the idle timeout. They are listed and nothing else
// depends on it, so it does no harm that anybody may send under any name.
type datagramDevices struct {
	idle time.Duration

	mu     sync.Mutex
	byIMEI map[string]*list.Element
	seen   list.List // of *datagramDevice, the one heard last in front
}

type datagramDevice struct {
	imei     string
	since    time.Time
	lastSeen time.Time
	remote   netip.AddrPort
	codec    teltonika.Codec // of the last datagram of records
	frames   uint64          // acknowledged
	records  uint64          // acknowledged
}

func newDatagramDevices(idle time.Duration) *datagramDevices {
	return &datagramDevices{idle: idle, byIMEI: make(map[string]*list.Element)}
}

// see notes a datagram and reports whether its device was not listed.
func (d *datagramDevices) see(o *pendingDatagram, acknowledged int) (added bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(o.Received)
	e, listed := d.byIMEI[o.DeviceID]
	if !listed {
		if len(d.byIMEI) >= maxDatagramDevices {
			d.remove(d.seen.Back())
		}
		e = d.seen.PushFront(&datagramDevice{imei: o.DeviceID, since: o.Received})
		d.byIMEI[o.DeviceID] = e
	}
	d.seen.MoveToFront(e)
	device := e.Value.(*datagramDevice)
	device.remote = o.packet.From
	if o.Received.After(device.lastSeen) {
		device.lastSeen = o.Received
	}
	if acknowledged != notAcknowledged {
		device.codec = o.Codec
		device.frames++
		device.records += uint64(acknowledged)
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

// snapshot copies the list, so that nobody who reads it slowly holds up the datagrams.
func (d *datagramDevices) snapshot(now time.Time) []datagramDevice {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire(now)
	all := make([]datagramDevice, 0, len(d.byIMEI))
	for e := d.seen.Front(); e != nil; e = e.Next() {
		all = append(all, *e.Value.(*datagramDevice))
	}
	return all
}

func (d *datagramDevice) describe() command.Device {
	c := command.Device{
		IMEI: d.imei, Since: d.since, LastSeen: d.lastSeen, Remote: d.remote.String(), Transport: transportUDP,
		Frames: d.frames, Records: d.records,
	}
	if d.codec != 0 {
		c.Codec = d.codec.String()
	}
	return c
}

// DatagramDevices are the devices that have sent a datagram within the idle timeout, the one heard last first, as many
// as are kept in mind. Nothing can be sent to them.
func (a *Adapter) DatagramDevices() iter.Seq[command.Device] {
	return func(yield func(command.Device) bool) {
		for _, d := range a.datagrams.devices.snapshot(time.Now()) {
			if !yield(d.describe()) {
				return
			}
		}
	}
}
