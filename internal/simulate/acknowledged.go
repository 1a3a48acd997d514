package simulate

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// writeAcknowledged adds the ids of the acknowledged frame's records to their list.
func (d *device) writeAcknowledged() error {
	list := d.fleet.acknowledged
	if list == nil {
		return nil
	}
	b := d.line[:0]
	for _, r := range d.frame.records {
		b = append(b, d.imei...)
		b = append(b, '-')
		b = strconv.AppendInt(b, r.timestamp, 10)
		b = append(b, '-')
		var sum [8]byte
		binary.BigEndian.PutUint64(sum[:], xxhash.Sum64(d.frame.bytes[r.start:r.end]))
		b = hex.AppendEncode(b, sum[:])
		b = append(b, '\n')
	}
	d.line = b
	return d.fleet.note(list, b)
}
