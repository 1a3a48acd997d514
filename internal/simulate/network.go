package simulate

import (
	"slices"
	"time"
)

// network is what happens to a device's datagrams on their way, in each direction: some are lost, some arrive twice,
// and some later than those that were sent after them.
type network struct {
	device  *device
	perfect bool // nothing of that
	out, in transit
}

func newNetwork(d *device) network {
	o := d.fleet.options
	return network{device: d, perfect: o.Loss == 0 && o.Duplicate == 0 && o.Reorder == 0}
}

// reset loses what is on its way, as a closed socket does.
func (n *network) reset() { n.out, n.in = n.out[:0], n.in[:0] }

// carry puts a datagram on its way: nowhere, once or twice.
func (n *network) carry(way *transit, b []byte, now time.Time) {
	d, o := n.device, n.device.fleet.options
	if d.happens(o.Loss) {
		d.shard.count(datagramsLost, 1)
		return
	}
	copies := 1
	if d.happens(o.Duplicate) {
		d.shard.count(datagramsCopied, 1)
		copies++
	}
	for range copies {
		due := now
		if d.happens(o.Reorder) {
			d.shard.count(datagramsDelayed, 1)
			due = due.Add(o.ReorderDelay / 1000 * time.Duration(1+below(d.faults.Uint64(), 1000)))
		}
		way.add(delayed{due, slices.Clone(b)})
	}
}

// sooner returns the deadline, or when something on its way arrives, if that is before it. A zero deadline is never.
func (n *network) sooner(deadline time.Time) time.Time {
	for _, way := range [...]transit{n.out, n.in} {
		if len(way) > 0 && (deadline.IsZero() || way[0].due.Before(deadline)) {
			deadline = way[0].due
		}
	}
	return deadline
}

// transit are datagrams on their way in one direction, in the order of their arrival.
type transit []delayed

type delayed struct {
	due time.Time
	b   []byte
}

func (t *transit) add(d delayed) {
	i := len(*t)
	for i > 0 && (*t)[i-1].due.After(d.due) {
		i--
	}
	*t = slices.Insert(*t, i, d)
}

// take removes and returns the next datagram if it has arrived.
func (t *transit) take(now time.Time) []byte {
	if len(*t) == 0 || (*t)[0].due.After(now) {
		return nil
	}
	b := (*t)[0].b
	*t = slices.Delete(*t, 0, 1)
	return b
}
