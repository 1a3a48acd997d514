package teltonika

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"
)

type wantRecord struct {
	Timestamp  uint64  `json:"timestamp_ms"`
	Priority   uint8   `json:"priority"`
	Longitude  int32   `json:"lon_1e7"`
	Latitude   int32   `json:"lat_1e7"`
	Altitude   int16   `json:"altitude"`
	Angle      uint16  `json:"angle"`
	Satellites uint8   `json:"satellites"`
	Speed      uint16  `json:"speed"`
	EventID    uint16  `json:"event_id"`
	Generation *uint8  `json:"generation_type"`
	IO         [][]any `json:"io"`
}

// asWant brings a decoded record into the form of the expectations.
func asWant(r *Record, codec Codec) wantRecord {
	w := wantRecord{
		Timestamp: r.Timestamp, Priority: r.Priority, Longitude: r.Longitude, Latitude: r.Latitude,
		Altitude: r.Altitude, Angle: r.Angle, Satellites: r.Satellites, Speed: r.Speed, EventID: r.EventID,
		IO: [][]any{},
	}
	if codec == Codec16 {
		w.Generation = &r.Generation
	}
	for _, e := range r.Elements {
		w.IO = append(w.IO, []any{float64(e.ID), float64(e.Size), valueHex(r, e)})
	}
	return w
}

func TestVectorsAVL(t *testing.T) {
	var data AVLData // one for all, as in a server
	seen, mismatched := 0, 0
	for _, v := range vectors(t) {
		if !v.isAVL() {
			continue
		}
		seen++
		body := v.body(t)
		err := data.Decode(body)
		if body[1] != body[len(body)-1] {
			mismatched++
			if !errors.Is(err, ErrCount) {
				t.Errorf("%s: Decode with n1 != n2: %v", v.Name, err)
			}
		} else if err != nil {
			t.Errorf("%s: Decode: %v", v.Name, err)
			continue
		}
		if data.Codec.String() != v.Codec || data.N16 != (v.Variant == "n16") || data.Count != int(body[1]) {
			t.Errorf("%s: codec %v, n16 %v, count %d", v.Name, data.Codec, data.N16, data.Count)
		}
		var want []wantRecord
		if err := json.Unmarshal(v.Decoded, &want); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		got := make([]wantRecord, len(data.Records))
		for i := range data.Records {
			got[i] = asWant(&data.Records[i], data.Codec)
		}
		gotJSON, _ := json.Marshal(got)
		wantJSON, _ := json.Marshal(want)
		if !bytes.Equal(gotJSON, wantJSON) {
			t.Errorf("%s:\n got %s\nwant %s", v.Name, gotJSON, wantJSON)
		}
	}
	if seen != 323+22 || mismatched != 3+2 {
		t.Errorf("%d AVL packets, %d with n1 != n2, expected 345 and 5", seen, mismatched)
	}
}

// The CRC of every TCP packet, and the answer to every one with records: the number of them, or nothing.
func TestVectorsFrames(t *testing.T) {
	var data AVLData
	wrong, answered := 0, 0
	for _, v := range vectors(t) {
		if v.Transport != "tcp" || v.Kind == "login" {
			continue
		}
		frame, _, err := ParseFrame(v.bytes(t), testMaxLength)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if frame.Codec().String() != v.Codec {
			t.Errorf("%s: codec %v, want %s", v.Name, frame.Codec(), v.Codec)
		}
		crcErr := frame.Verify()
		if (crcErr == nil) != *v.CRCOK || crcErr != nil && !errors.Is(crcErr, ErrCRC) {
			t.Errorf("%s: Verify: %v", v.Name, crcErr)
		}
		if crcErr != nil {
			wrong++
		}
		answer := ""
		if crcErr == nil && frame.Codec().IsAVL() && data.Decode(frame.Body()) == nil {
			answer = hex.EncodeToString(AppendAck(nil, len(data.Records)))
			answered++
		}
		if answer != v.answer() {
			t.Errorf("%s: answer %q, want %q", v.Name, answer, v.answer())
		}
	}
	if wrong != 17+1 || answered != 282+18 {
		t.Errorf("%d wrong CRCs, %d answers, expected 18 and 300", wrong, answered)
	}
}

// The variant with a 16-byte group is recognised also where number of data 2 is another than number of data 1.
func TestN16WithOtherNumberOfData2(t *testing.T) {
	body := bytes.Clone(vectorNamed(t, "dameg-tcp-avl-c8-017").body(t))
	body[len(body)-1]++
	var data AVLData
	if err := data.Decode(body); !errors.Is(err, ErrCount) || !data.N16 {
		t.Errorf("%v, n16 %v", err, data.N16)
	}
}
