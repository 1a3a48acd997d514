package condition

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"speed<5":                            "speed<5,age<=60s",
		" Speed <= 5 km/h , age<2m":          "speed<=5km/h,age<=120s",
		"age<=30,ignition=off":               "engine.ignition.status=off,age<=30s",
		"movement!=true":                     "movement.status!=true,age<=60s",
		"external.powersource.voltage>=11.5": "external.powersource.voltage>=11.5,age<=60s",
		"fuel.level<20%":                     "fuel.level<20%,age<=60s",
		"ibutton.code=12ab":                  "ibutton.code=12ab,age<=60s",
		"ambient.temperature > -5.5":         "ambient.temperature>-5.5,age<=60s",
		"driving.state=ignition_on":          "driving.state=ignition_on,age<=60s",
	} {
		c, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if c.String() != want {
			t.Errorf("%q is read as %q, want %q", text, c, want)
		}
		if again, err := Parse(c.String()); err != nil || again.String() != want {
			t.Errorf("%q read again: %v, %v", c, again, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "is not a field",
		"speed":                        "is not a field",
		"speed<":                       "is not a field",
		"speed<5,":                     "is not a field",
		"speed=<5":                     "is not a field",
		"speed<5 ; cpureset":           "in km/h",
		"speed<fast":                   "in km/h",
		"speed<5mph":                   "in km/h",
		"speed<5\nage<9":               "is not a field",
		"5<speed":                      "is not a field",
		"age<=60s":                     "says nothing but",
		"speed<5,age>60s":              "how old the record may be",
		"speed<5,age<=60s,age<=9s":     "twice",
		"speed<5,age<=25h":             "whole seconds",
		"speed<5,age<=1ms":             "whole seconds",
		"ignition<true":                "a word is compared with",
		"driving.state=a b":            "a number or a word",
		"a=\x1b[2J":                    "a number or a word",
		strings.Repeat("speed<5,", 9):  "terms",
		strings.Repeat("speed<5,", 50): "bytes",
	} {
		if c, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v, %v, want an error with %q", text, c, err, want)
		}
	}
}

// standing is a record of a device that stands, as it is published.
const standing = `{"device_id":"1","speed":0,"fix":"ok","signals":{"engine.ignition.status":false,` +
	`"movement.status":true,"external.powersource.voltage":12.4,"driving.state":"driving","ibutton.code":"12ab",` +
	`"big":"18446744073709551615","ble.beacons":["a","b"]},"faults":{"fuel.level":"not_connected"}}`

func TestCheck(t *testing.T) {
	moving := strings.Replace(standing, `"speed":0`, `"speed":43`, 1)
	for _, c := range []struct{ condition, document, want string }{
		{"speed<5", standing, ""},
		{"speed<5,ignition=off,external.powersource.voltage>12", standing, ""},
		{"speed=0", standing, ""},
		{"ignition!=on", standing, ""},
		{"movement=1", standing, ""},
		{"driving.state=driving", standing, ""},
		{"driving.state!=ignition_off", standing, ""},
		{"ibutton.code=12ab", standing, ""},
		{"big>5", standing, ""},
		{"big=18446744073709551615", standing, ""},
		{"external.powersource.voltage=12.40", standing, ""},

		{"big=18446744073709551614", standing, "big is 18446744073709551615, must be = 18446744073709551614"},
		{"big!=18446744073709551615", standing, "must be != 18446744073709551615"},
		{"not=5", `{"signals":{"not":"NaN"}}`, "not is NaN"},
		{"infinite>5", `{"signals":{"infinite":"Inf"}}`, "infinite is Inf"},
		{"long>5", `{"signals":{"long":"1e99999999999999999999"}}`, "long is 1e99999999999999999999"},
		{"speed<5", moving, "speed is 43, must be < 5"},
		{"speed<0", standing, "speed is 0, must be < 0"},
		{"speed<5,ignition=on", standing, "engine.ignition.status is false, must be = on"},
		{"ignition=maybe", standing, "engine.ignition.status is false, must be = maybe"},
		{"ibutton.code!=12ab", standing, "ibutton.code is 12ab, must be != 12"},
		{"driving.state>4", standing, "driving.state is driving, must be > 4"},
		{"fuel.level<20", standing, "fuel.level has no value: not_connected"},
		{"fuel.level!=20", standing, "fuel.level has no value: not_connected"},
		{"odometer>5", standing, "odometer is not in the record"},
		{"odometer!=5", standing, "odometer is not in the record"},
		{"ble.beacons=a", standing, "ble.beacons is several words"},
		{"speed<5", strings.Replace(standing, `"ok"`, `"stale"`, 1), `the speed is not known: fix is "stale"`},
		{"speed<5", strings.Replace(standing, `"speed":0,`, "", 1), "the record has no speed"},
		{"speed<5", "{}", "the speed is not known"},
		{"speed<5", "{", "cannot be read"},
		{"a=b", `{"signals":{"a":"\u001b[2J"}}`, `a is "\x1b[2J"`},
	} {
		err := parse(t, c.condition).Check(Record{Document: []byte(c.document)})
		wantNotMet(t, c.condition, err, c.want)
	}
}

func wantNotMet(t *testing.T, condition string, err error, want string) {
	t.Helper()
	var notMet *NotMet
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", condition, err)
	case want != "" && (!errors.As(err, &notMet) || !strings.Contains(notMet.Why, want)):
		t.Errorf("%s: %v, want %q", condition, err, want)
	}
}

// TestAge has what is old, or not there, prove nothing, however well it looks.
func TestAge(t *testing.T) {
	document := []byte(standing)
	c := parse(t, "speed<5")
	wantNotMet(t, "fresh", c.Check(Record{Document: document, Age: DefaultAge}), "")
	old := c.Check(Record{Document: document, Age: DefaultAge + time.Millisecond})
	wantNotMet(t, "old", old, "the last record is 1m0s")
	wantNotMet(t, "none", c.Check(Record{}), "no record on this connection")
	wide := parse(t, "speed<5,age<=1h")
	wantNotMet(t, "allowed", wide.Check(Record{Document: document, Age: time.Hour}), "")
}

// TestRead has a condition that cannot be read be one that is never met, and not none.
func TestRead(t *testing.T) {
	if c := Read(""); c != nil || c.String() != "" {
		t.Errorf("nothing is read as %v", c)
	}
	later := Read("speed within 5 of limit")
	wantNotMet(t, "later", later.Check(Record{Document: []byte(standing)}), "it cannot be read")
	if c := Read(later.String()); c == nil || c.wrong == nil {
		t.Errorf("kept again it is %v", c)
	}
}

func TestValidate(t *testing.T) {
	units := map[string]string{"fuel.level": "%", "ibutton.code": "", "engine.ignition.status": ""}
	for text, want := range map[string]string{
		"speed<5,ignition=on,fuel.level<5%": "", "fuel.level<5": "", "ibutton.code=12ab": "",
		"fuel.level<5V": `is in "%", not in "V"`, "ibutton.code<12ab": "is in", "odometer<5": "nor the name of a signal",
	} {
		if err := parse(t, text).Validate(units); (err == nil) != (want == "") || err != nil &&
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func parse(t *testing.T, text string) *Condition {
	t.Helper()
	c, err := Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return c
}

// FuzzCondition: what is read is read the same again, and what is not certain is not met, whatever the record says.
func FuzzCondition(f *testing.F) {
	for _, text := range []string{"speed<5", "age<2m,ignition=off", "fuel.level<20%", "a=12ab", "x!=-0.5"} {
		f.Add(text, standing)
	}
	f.Add("a!=1", `{"signals":{"a":null}}`)
	f.Add("a=nan", `{"signals":{"a":"NaN"}}`)
	f.Fuzz(func(t *testing.T, text, document string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(c.String())
		if err != nil || again.String() != c.String() {
			t.Fatalf("%q is %q, which is read as %v, %v", text, c, again, err)
		}
		if len(c.String()) > 4*MaxLength {
			t.Fatalf("%q grows to %d bytes", text, len(c.String()))
		}
		first := c.Check(Record{Document: []byte(document)})
		if second := again.Check(Record{Document: []byte(document)}); (first == nil) != (second == nil) {
			t.Fatalf("%q says %v, and read again %v", text, first, second)
		}
		if first == nil && !json.Valid([]byte(document)) {
			t.Fatalf("%q is met by %q", text, document)
		}
		if c.Check(Record{Document: []byte(document), Age: MaxAge + 1}) == nil {
			t.Fatalf("%q is met by a record of yesterday", text)
		}
	})
}
