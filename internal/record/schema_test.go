package record

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestDocumentsAreAsTheSchemaSays: every vector's records, with all that a document may have and with the least, and
// some of the traffic.
func TestDocumentsAreAsTheSchemaSays(t *testing.T) {
	documents := 0
	var full, least Encoder
	full.Raw = true
	check := func(o Origin, records []teltonika.Record) {
		for i := range records {
			for _, encoder := range []*Encoder{&full, &least} {
				if o.Meaning = nil; encoder == &full {
					o.Meaning = meaning.NewDevice(meaning.Embedded(), o.DeviceID)
				}
				encoder.Begin(o)
				if _, doc, err := appendOne(encoder, nil, &records[i]); err == nil {
					documents++
					apitest.Strict().Check(t, "record.schema.json", doc.Payload)
				}
			}
		}
	}
	var data teltonika.AVLData
	for _, v := range avlVectors(t) {
		if err := data.Decode(v.body); err == nil {
			check(origin(data.Codec), data.Records)
		}
	}
	for i, frame := range traffic(t) {
		if i%100 == 0 && data.Decode(frame.Body()) == nil {
			o := origin(data.Codec)
			o.Received = o.Received.Add(time.Duration(i) * 11 * time.Second)
			check(o, data.Records)
		}
	}
	if documents < 2*vectorDocuments {
		t.Errorf("only %d documents", documents)
	}
}
