package stored

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// attributes are those of sent.
const attributes = `"attributes":{"66":12045,"239":1,"16":1048576,"11":{"__bigint":"1099511627776"},` +
	`"385":{"__buffer_b64":"EQ=="}}`

// sent is the raw member of a record whose element 66 comes twice.
func sent(t *testing.T) string {
	t.Helper()
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: make([]teltonika.Record, 1)}
	r := &data.Records[0]
	r.AddNumber(66, teltonika.Group2, 12044)
	r.AddNumber(239, teltonika.Group1, 1)
	r.AddNumber(16, teltonika.Group4, 1<<20)
	r.AddNumber(11, teltonika.Group8, 1<<40)
	r.AddBytes(385, teltonika.GroupX, []byte{0x11})
	r.AddNumber(66, teltonika.Group2, 12045)
	body, err := data.AppendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	return `,"raw":"` + base64.StdEncoding.EncodeToString(body[2:len(body)-1]) + `"`
}

func TestElements(t *testing.T) {
	for raw, want := range map[string]string{
		"":      "66 [2 4], 239 [1 2 4], 16 [4], 11 [8], 385 [x], ",
		sent(t): "66 [2], 239 [1], 16 [4], 11 [8], 385 [x], ",
	} {
		r, err := Parse([]byte(`{"device_id":"1","codec":"8E",` + attributes + raw + `}`))
		if err != nil || r.Problem != nil {
			t.Fatal(err, r.Problem)
		}
		got := ""
		for _, e := range r.Elements {
			got += fmt.Sprintf("%d %v, ", e.ID, e.Widths)
		}
		if got != want {
			t.Errorf("with %q: %s, want %s", raw, got, want)
		}
		first, last := &r.Elements[0], &r.Elements[4]
		if n := first.Raw(meaning.Width4); first.Number != 12045 || string(n) != "\x00\x00\x2f\x0d" {
			t.Errorf("66 is %d, %x", first.Number, n)
		}
		if b := last.Raw(meaning.WidthX); string(b) != "\x11" {
			t.Errorf("385 is %x", b)
		}
	}
}

// Codec 7 has no elements of the dictionary, Codec 8 none with a length of its own.
func TestCodecs(t *testing.T) {
	seven, err := Parse([]byte(`{"device_id":"1","codec":"7","attributes":{"1":5,"__lac":7}}`))
	if err != nil || len(seven.Elements) != 0 {
		t.Errorf("%v, %+v", err, seven)
	}
	eight, err := Parse([]byte(`{"device_id":"1","codec":"8",` + attributes + `}`))
	if err != nil || eight.Elements[4].Widths[0] != meaning.Width16 {
		t.Errorf("%v, %+v", err, eight)
	}
}

// Anybody may write to a store.
func TestWhatIsNoRecord(t *testing.T) {
	for _, text := range []string{
		"", "null", "[]", `{"a":1}`, `{"device_id":1,"codec":"8"}`, `{"device_id":"1","codec":"8","attributes":[]}`,
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrNoRecord) {
			t.Errorf("%s: %v", text, err)
		}
	}
	odd, err := Parse([]byte(`{"device_id":"1","codec":"8","timestamp":"\u001b[2J","raw":"AAAA","signals":null,` +
		`"attributes":{"1":-5,"2":1e3,"3":{"__bigint":"x"},"70000":1,"4":null,"5":6,"05":7,"5":7,"__generation_type":1}}`))
	if err != nil || len(odd.Elements) != 1 || odd.Elements[0].ID != 5 || odd.Elements[0].Number != 7 ||
		odd.Timestamp != "" || odd.Problem == nil {
		t.Errorf("%v, %+v", err, odd)
	}
}
