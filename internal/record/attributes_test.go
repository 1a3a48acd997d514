package record

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// attributesOf is the attributes of a record, after a comparison of its whole document with the reference.
func attributesOf(t *testing.T, codec teltonika.Codec, r *teltonika.Record) string {
	t.Helper()
	doc := encode(t, &Encoder{}, origin(codec), r)
	checkDocument(t, origin(codec), false, r, doc)
	return valueOf(t, doc, "attributes")
}

func TestAttributeValues(t *testing.T) {
	numbers := []struct {
		group teltonika.Group
		value uint64
		want  string
	}{
		{teltonika.Group1, 0, "0"}, {teltonika.Group1, 10, "10"}, {teltonika.Group1, 255, "255"},
		{teltonika.Group2, 999, "999"}, {teltonika.Group2, 1000, "1000"}, {teltonika.Group2, 65535, "65535"},
		{teltonika.Group4, 99_999_999, "99999999"}, {teltonika.Group4, 100_000_000, "100000000"},
		{teltonika.Group4, math.MaxUint32, "4294967295"},
		{teltonika.Group8, 0, `{"__bigint":"0"}`},
		{teltonika.Group8, 1 << 53, `{"__bigint":"9007199254740992"}`},
		{teltonika.Group8, math.MaxUint64, `{"__bigint":"18446744073709551615"}`},
	}
	for _, c := range numbers {
		var r teltonika.Record
		r.AddNumber(239, c.group, c.value)
		if got, want := attributesOf(t, teltonika.Codec8E, &r), `{"239":`+c.want+`}`; got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
	buffers := []struct {
		group teltonika.Group
		value string
		want  string
	}{
		{teltonika.GroupX, "", `{"__buffer_b64":""}`},
		{teltonika.GroupX, "\x11", `{"__buffer_b64":"EQ=="}`},
		{teltonika.GroupX, "\x00\x01", `{"__buffer_b64":"AAE="}`},
		{teltonika.GroupX, "\xfb\xff\xbf", `{"__buffer_b64":"+/+/"}`},
		{teltonika.GroupX, "12345678", `{"__buffer_b64":"MTIzNDU2Nzg="}`},
		{teltonika.Group16, "0123456789abcdef", `{"__buffer_b64":"MDEyMzQ1Njc4OWFiY2RlZg=="}`},
	}
	for _, c := range buffers {
		var r teltonika.Record
		r.AddBytes(239, c.group, []byte(c.value))
		if got, want := attributesOf(t, teltonika.Codec8E, &r), `{"239":`+c.want+`}`; got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

// TestEveryID also takes each id through the filter of seen ids alone.
func TestEveryID(t *testing.T) {
	var encoder Encoder
	var dst []byte
	for id := range 1 << 16 {
		r := teltonika.Record{}
		r.AddNumber(uint16(id), teltonika.Group1, 7)
		encoder.Begin(origin(teltonika.Codec8E))
		var err error
		var doc engine.Record
		if dst, doc, err = appendOne(&encoder, dst[:0], &r); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`"attributes":{"%d":7},"event_id"`, id); !bytes.Contains(doc.Payload, []byte(want)) {
			t.Fatalf("no %s in %s", want, doc.Payload)
		}
	}
}

func TestLongBuffer(t *testing.T) {
	var r teltonika.Record
	r.AddBytes(1, teltonika.GroupX, bytes.Repeat([]byte{0xA5}, math.MaxUint16))
	r.AddNumber(2, teltonika.Group1, 1)
	if got := attributesOf(t, teltonika.Codec8E, &r); !strings.HasSuffix(got, `"},"2":1}`) {
		t.Errorf("ends in %s", got[len(got)-20:])
	}
}

func TestGenerationTypeFirst(t *testing.T) {
	r := teltonika.Record{Generation: 5}
	if got, want := attributesOf(t, teltonika.Codec16, &r), `{"__generation_type":5}`; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	r.Generation = 255
	r.AddNumber(1, teltonika.Group1, 2)
	if got, want := attributesOf(t, teltonika.Codec16, &r), `{"__generation_type":255,"1":2}`; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	r.AddNumber(1, teltonika.Group2, 3)
	if got, want := attributesOf(t, teltonika.Codec16, &r), `{"__generation_type":255,"1":3}`; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	if got, want := attributesOf(t, teltonika.Codec8, &r), `{"1":3}`; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
	if got, want := attributesOf(t, teltonika.Codec8, &teltonika.Record{}), `{}`; got != want {
		t.Errorf("%s, expected %s", got, want)
	}
}

// TestRepeatedIDs: a repeated id keeps its first place and its last value.
func TestRepeatedIDs(t *testing.T) {
	type element struct {
		id    uint16
		group teltonika.Group
		value uint64
	}
	for _, c := range []struct {
		name     string
		elements []element
		want     string
	}{
		{"next to each other", []element{{1, 0, 10}, {1, 0, 11}}, `{"1":11}`},
		{"in one group", []element{{1, 0, 10}, {2, 0, 20}, {1, 0, 11}, {3, 0, 30}}, `{"1":11,"2":20,"3":30}`},
		{"across groups", []element{{1, 0, 10}, {2, 1, 20}, {1, 3, 11}, {2, 2, 21}}, `{"1":{"__bigint":"11"},"2":21}`},
		{"three times", []element{{7, 0, 1}, {8, 0, 2}, {7, 1, 3}, {7, 2, 4}}, `{"7":4,"8":2}`},
		{"equal modulo 1024", []element{{5, 0, 1}, {1029, 0, 2}, {2053, 0, 3}}, `{"5":1,"1029":2,"2053":3}`},
		{"equal modulo 64", []element{{5, 0, 1}, {69, 0, 2}, {133, 0, 3}}, `{"5":1,"69":2,"133":3}`},
		{
			"equal modulo 1024 and repeated", []element{{5, 0, 1}, {1029, 0, 2}, {5, 0, 3}, {1029, 1, 4}},
			`{"5":3,"1029":4}`,
		},
		{"0 and 65535", []element{{0, 0, 1}, {65535, 0, 2}, {0, 0, 3}, {65535, 0, 4}}, `{"0":3,"65535":4}`},
	} {
		var r teltonika.Record
		for _, el := range c.elements {
			r.AddNumber(el.id, el.group, el.value)
		}
		if got := attributesOf(t, teltonika.Codec8E, &r); got != c.want {
			t.Errorf("%s: %s, expected %s", c.name, got, c.want)
		}
	}
	var r teltonika.Record
	r.AddNumber(1, teltonika.Group1, 10)
	r.AddBytes(1, teltonika.GroupX, nil)
	if got, want := attributesOf(t, teltonika.Codec8E, &r), `{"1":{"__buffer_b64":""}}`; got != want {
		t.Errorf("number, then buffer: %s, expected %s", got, want)
	}
}

// TestManyElements takes records with as many elements as fit into a frame, with and without repeated ids, and
// short ones after them, through one encoder.
func TestManyElements(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var encoder Encoder
	for _, elements := range []int{21000, 3, 5000, 2, 1000, 21000, 28} {
		for _, ids := range []int{1 << 16, 20000, 1024, 100, 1} {
			var r teltonika.Record
			for range elements {
				r.AddNumber(uint16(random.IntN(ids)), teltonika.Group(random.IntN(4)), random.Uint64())
			}
			o := origin(teltonika.Codec8E)
			checkDocument(t, o, false, &r, encode(t, &encoder, o, &r))
		}
	}
}

// TestRepeatedIDsTakeLinearTime: an element of a record with very many, all ids sent twice, takes about as long as one
// of a record with few.
func TestRepeatedIDsTakeLinearTime(t *testing.T) {
	perElement := func(elements int) time.Duration {
		var r teltonika.Record
		for i := range elements {
			r.AddNumber(uint16(i%(elements/2))<<4, teltonika.Group1, 1) // few of them differ modulo 1024
		}
		var encoder Encoder
		best := time.Hour
		for range 20 {
			start := time.Now()
			encode(t, &encoder, origin(teltonika.Codec8E), &r)
			best = min(best, time.Since(start))
		}
		return best / time.Duration(elements)
	}
	if few, many := perElement(200), perElement(8000); many > 10*few {
		t.Errorf("%v for an element of 8000, %v for one of 200", many, few)
	}
}

// TestFreakRecordIsForgotten: the scratch that one record has grown does not slow down those after it.
func TestFreakRecordIsForgotten(t *testing.T) {
	freak, usual := teltonika.Record{}, teltonika.Record{}
	for id := range uint16(maxKeptIDs + 1) {
		freak.AddNumber(id, teltonika.Group1, 1)
	}
	freak.AddNumber(0, teltonika.Group1, 2)
	usual.AddNumber(0, teltonika.Group1, 1)
	usual.AddNumber(0, teltonika.Group1, 2)
	var encoder Encoder
	places := func(r *teltonika.Record) uintptr {
		encode(t, &encoder, origin(teltonika.Codec8E), r)
		return reflect.ValueOf(encoder.places).Pointer()
	}
	grown, fresh := places(&freak), places(&usual)
	if grown == fresh {
		t.Error("the map of the freak record is still in use")
	}
	if fresh != places(&usual) {
		t.Error("the map of usual records is not kept")
	}
}

// TestSixteenByteGroup takes the group of Codec 8's old variant through the wire.
func TestSixteenByteGroup(t *testing.T) {
	var r teltonika.Record
	r.AddNumber(1, teltonika.Group1, 1)
	r.AddBytes(200, teltonika.Group16, []byte("0123456789abcdef"))
	r.AddBytes(201, teltonika.Group16, make([]byte, 16))
	sent := teltonika.AVLData{Codec: teltonika.Codec8, N16: true, Records: []teltonika.Record{r}}
	body, err := sent.AppendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got teltonika.AVLData
	if err := got.Decode(body); err != nil {
		t.Fatal(err)
	}
	want := `{"1":1,"200":{"__buffer_b64":"MDEyMzQ1Njc4OWFiY2RlZg=="},"201":{"__buffer_b64":"AAAAAAAAAAAAAAAAAAAAAA=="}}`
	if attributes := attributesOf(t, teltonika.Codec8, &got.Records[0]); attributes != want {
		t.Errorf("%s, expected %s", attributes, want)
	}
}
