package dictionary

import (
	"bytes"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// FuzzStoredRecord reads documents that anybody may have put into the store.
func FuzzStoredRecord(f *testing.F) {
	f.Add(document(f, teltonika.Codec8E, true, elements))
	f.Add(document(f, teltonika.Codec8E, false, elements))
	f.Add([]byte(`{"device_id":"1","codec":"16","raw":"AAAA",` +
		`"attributes":{"1":{"__buffer_b64":"AA=="},"2":{"__bigint":"-1"}},` +
		`"device":{"family":"fmx6","model":"FMB640","by":"getver"}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := stored.Parse(payload)
		if err != nil {
			return
		}
		u := NewUnknown(meaning.Embedded())
		u.Add(r)
		var out bytes.Buffer
		if err := u.WriteText(&out); err != nil {
			t.Fatal(err)
		}
		v := Device{IMEI: r.DeviceID, Dictionary: meaning.Embedded()}
		v.Add(r)
		x := v.Explain()
		if len(x.Elements) != len(r.Elements) {
			t.Fatalf("%d elements explained, %d in the record", len(x.Elements), len(r.Elements))
		}
		if err := x.WriteText(&out); err != nil {
			t.Fatal(err)
		}
	})
}
