package mqttsink

import (
	"errors"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
)

// delivery is a batch on its way over one connection.
type delivery struct {
	*Sink
	batch    []forward.Item
	behind   map[string][]int // by device: what of it is to be sent, oldest first, behind what is ready or in flight
	ready    []int            // to be sent now: no other of their devices is in flight
	inFlight map[uint16]int   // by the publication's id
	refused  error            // why a device's records have stopped, nil: none has
}

func newDelivery(s *Sink, batch []forward.Item) *delivery {
	d := &delivery{Sink: s, batch: batch, behind: make(map[string][]int), inFlight: make(map[uint16]int)}
	for i := range batch {
		if s.done.ids[batch[i].ID] {
			continue
		}
		device := batch[i].DeviceID
		if _, waits := d.behind[device]; waits {
			d.behind[device] = append(d.behind[device], i)
		} else {
			d.behind[device] = nil
			d.ready = append(d.ready, i)
		}
	}
	return d
}

// run ends when all is acknowledged or has stopped. Its error is the connection's.
func (d *delivery) run() error {
	patience := time.NewTimer(d.options.Timeout)
	defer patience.Stop()
	for len(d.ready) > 0 || len(d.inFlight) > 0 {
		if err := d.send(); err != nil {
			return d.lost(err)
		}
		if len(d.inFlight) == 0 {
			continue // what was ready has been put aside
		}
		patience.Reset(d.options.Timeout)
		select {
		case p := <-d.conn.acks:
			if err := d.acknowledged(&p); err != nil {
				return err
			}
		case <-d.conn.ended:
			return d.lost(d.conn.err)
		case <-patience.C:
			return fmt.Errorf("the broker acknowledges nothing for %v", d.options.Timeout)
		}
	}
	return nil
}

// lost takes what was acknowledged before the connection failed, and says why it did: a broker may refuse a record and
// then end the connection.
func (d *delivery) lost(err error) error {
	select {
	case <-d.conn.ended:
		err = fmt.Errorf("the connection has ended: %w", d.conn.err)
	default:
	}
	for {
		select {
		case p := <-d.conn.acks:
			if err := d.acknowledged(&p); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// send publishes what is ready, as far as the window reaches.
func (d *delivery) send() error {
	for len(d.ready) > 0 && len(d.inFlight) < d.conn.window {
		i := d.ready[0]
		d.ready = d.ready[1:]
		item := &d.batch[i]
		id, err := d.conn.publish(message{topic: d.topic.topic(item), retain: d.options.Retain, payload: item.Payload})
		switch {
		case errors.Is(err, errTooLarge):
			d.putAside(i, err.Error())
		case err != nil:
			return err
		default:
			d.inFlight[id] = i
		}
	}
	return d.conn.flush()
}

// acknowledged takes a PUBACK.
func (d *delivery) acknowledged(p *packets.Packet) error {
	i, known := d.inFlight[p.PacketID]
	if !known {
		return errors.New("the broker acknowledges what was not published")
	}
	delete(d.inFlight, p.PacketID)
	switch {
	case p.ReasonCode < refusal:
		d.settled(i)
	case isOfRecord(p.ReasonCode):
		d.putAside(i, reason(p))
	default:
		d.refused = fmt.Errorf("the broker refuses to take a record: %s", reason(p))
	}
	return nil
}

// isOfRecord reports whether a broker that gives that reason will never take the record.
func isOfRecord(code byte) bool {
	switch code {
	case packets.ErrTopicNameInvalid.Code, packets.ErrPacketTooLarge.Code, packets.ErrPayloadFormatInvalid.Code:
		return true
	}
	return false
}

// putAside lets the next record of the device go on, unless this one cannot be put aside.
func (d *delivery) putAside(i int, why string) {
	if err := d.refuse("MQTT: "+why, d.batch[i]); err != nil {
		d.refused = err
		return
	}
	d.settled(i)
}

func (d *delivery) settled(i int) {
	d.done.ids[d.batch[i].ID] = true
	device := d.batch[i].DeviceID
	if next := d.behind[device]; len(next) > 0 {
		d.behind[device] = next[1:]
		d.ready = append(d.ready, next[0])
	}
}
