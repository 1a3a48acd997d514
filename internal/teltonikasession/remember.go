package teltonikasession

import (
	"cmp"
	"time"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/pipeline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// What is remembered of a device beside its connection: package device keeps it.

// remember notes what has been stored of a packet.
func (o *source) remember(outcome publish.Outcome) {
	r := devices.Outcome{
		At: o.Received, Stored: outcome.Published, Duplicate: outcome.Duplicates, Lost: o.lost, Message: outcome.Messages,
		Last: o.last,
	}
	if o.deadLetter != "" {
		r.Lost = o.items
	}
	o.device.Stored(r)
	if o.deadLetter == "" && o.lost > 0 { // no step of the packet has failed
		noteError(o.device, pipeline.ReasonTimestamp, record.ErrTimestamp, o.first)
	}
}

// heard notes a packet that was read to its end.
func (w *frameContext) heard() {
	if !w.Received.IsZero() {
		w.device.Heard(devices.Frame{Received: w.Received, Codec: w.Codec.String(), Acknowledged: w.acknowledged})
	}
}

// failed notes why a packet stopped at a step.
func (o *source) failed(d *disposition, err error) {
	o.fate.stopped(d)
	noteError(o.device, d.cause(), err, o.first)
}

func noteError(d *devices.Device, cause string, err error, first []byte) {
	d.Failed(devices.Error{At: devices.Time{Time: time.Now()}, Cause: cause, Text: err.Error(), First: first})
}

// cause is a short name of the disposition.
func (d *disposition) cause() string { return cmp.Or(d.refused, d.deadLetter, string(d.close)) }

// newest is the record with the latest timestamp, or nil if there is none that has one.
func newest(records []teltonika.Record) (r *teltonika.Record) {
	for i := range records {
		if t := records[i].Timestamp; t <= record.MaxTimestamp && (r == nil || t > r.Timestamp) {
			r = &records[i]
		}
	}
	return r
}

// asLast is what is remembered of the newest record, which may be nil.
func asLast(r *teltonika.Record, received time.Time) (last devices.LastRecord) {
	if r == nil {
		return last
	}
	return devices.LastRecord{
		Timestamp: devices.Time{Time: time.UnixMilli(int64(r.Timestamp))}, Fix: string(record.FixOf(r)),
		Clock:    record.ClockOf(r.Timestamp, received.UnixMilli()),
		Latitude: r.Latitude, Longitude: r.Longitude, Speed: int(r.Speed),
	}
}
