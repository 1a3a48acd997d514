// Package redecode says anew what the elements of a stored record mean: by the dictionary of today, and by what is
// known of the device by now. It changes the document's signals, faults, device and dict, and nothing else.
//
// The document's attributes have every value, but of numbers of 1, 2 and 4 bytes not how wide they were sent, which
// their meaning depends on. With RECORD_RAW the record's own bytes say so, and often the names that the document has.
// Else every width counts that the number fits into and that the family knows the element in: a value is given only if
// all of them agree on it.
package redecode

import (
	"context"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// maxDevices are those whose evidence is kept at once. Beyond them all are forgotten and begin anew, which costs a few
// names and never makes a wrong one.
const maxDevices = 10_000

// Decoder reads the stored records of many devices, in their order. It is for one goroutine.
type Decoder struct {
	dictionary *knowing
	known      func(ctx context.Context, imei string) (Known, error)
	devices    map[string]*device
}

// Known is what is known of a device beside its records.
type Known struct {
	Mapped   meaning.Identity // by the user's map
	Said     meaning.Identity // by the device's own word
	Evidence meaning.Evidence // of elements that it has sent
}

// New is a decoder by that dictionary. It asks known of each device once, or again after it has met very many; nil:
// nothing is known.
func New(dictionary *meaning.Dictionary, known func(ctx context.Context, imei string) (Known, error)) *Decoder {
	if known == nil {
		known = func(context.Context, string) (Known, error) { return Known{}, nil }
	}
	return &Decoder{
		dictionary: newKnowing(dictionary), known: known, devices: map[string]*device{},
	}
}

// Document is the document with today's meaning. A record of Codec 7 has none: its ids are not those of the dictionary.
// Its error is known's, or stored.ErrNoRecord is in its chain.
func (d *Decoder) Document(ctx context.Context, document []byte) ([]byte, error) {
	r, err := stored.Parse(document)
	if err != nil {
		return nil, err
	}
	if r.Problem != nil {
		return nil, fmt.Errorf("%w: %w", stored.ErrNoRecord, r.Problem)
	}
	var said []byte
	if r.Codec != teltonika.Codec7.String() {
		v, err := d.device(ctx, r)
		if err != nil {
			return nil, err
		}
		v.narrow(r)
		said = v.say(r)
	}
	return with(r, said), nil
}

// device is the record's. What an earlier decoder knew of it by its own word or the map is known again.
func (d *Decoder) device(ctx context.Context, r *stored.Record) (*device, error) {
	v := d.devices[r.DeviceID]
	if v == nil {
		known, err := d.known(ctx, r.DeviceID)
		if err != nil {
			return nil, err
		}
		if len(d.devices) >= maxDevices {
			clear(d.devices)
		}
		v = newDevice(d.dictionary, r.DeviceID, known)
		d.devices[r.DeviceID] = v
	}
	v.identify(r.Identity())
	return v, nil
}
