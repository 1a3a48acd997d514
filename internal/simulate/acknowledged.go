package simulate

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// acknowledged is the list of the ids of acknowledged records.
type acknowledged struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

// writeAcknowledged adds the records of the acknowledged frame to the list. If the list cannot be written, the
// run ends: it would be worthless.
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
	err := list.write(b)
	if err != nil {
		d.fleet.abort()
	}
	return err
}

func (a *acknowledged) write(lines []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		if _, err := a.w.Write(lines); err != nil {
			a.err = fmt.Errorf("list of acknowledged records: %w", err)
		}
	}
	return a.err
}

func (a *acknowledged) error() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
