package meaning

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const imei = "356307042441013"

func overridden(t testing.TB, rows ...string) *Dictionary {
	t.Helper()
	d, err := Embedded().Override(strings.Join(rows, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// says is what a device says with an element of two bytes: name=value unit, or why nothing.
func says(r *Reader, id uint16, number uint16) string {
	v, why := r.Decode(id, Width2, []byte{byte(number >> 8), byte(number)})
	switch {
	case why != Named:
		return why.String()
	case v.Fault != "":
		return v.Name + "!" + v.Fault
	}
	return strings.TrimSpace(v.Name + "=" + v.Text() + " " + v.Unit)
}

func TestOverride(t *testing.T) {
	d := overridden(t, "# our tanks",
		"imei:356307042441013\t9\t2\ttank.level\tnumber\t0\t0.05\t0\t%",
		"imei:3563*  9  2  tank.long  number  0  0.5  -  %", // spaces for tabs, - for nothing
		"imei:35*\t9\t2\ttank.short\tnumber\t0\t0.5\t\t%",
		"",
		"model:fmb640\t9\t2\ttank.model\tnumber",
		"family:ft\t9\t2\ttank.family\tnumber",
		"*\t9\t2\ttank.all\tnumber\t1\t\t-40\t°C\t\t\t-1:broken",
		"*\t66\t2\t-",
		"*\t65000\t2\town.state\tenum\t\t\t\t\t0=off|1=on")
	none := &Evidence{}
	for _, c := range []struct {
		imei   string
		who    Identity
		id     uint16
		number uint16
		want   string
	}{
		{imei, Identity{Model: "FMB640"}, 9, 40, "tank.level=2 %"},
		{"356309", Identity{Model: "FMB640"}, 9, 40, "tank.long=20 %"},
		{"359", Identity{Model: "FMB640"}, 9, 40, "tank.short=20 %"},
		{"1", Identity{Model: "FMB640"}, 9, 40, "tank.model=40"},
		{"1", Identity{Model: "FTC881"}, 9, 40, "tank.family=40"},
		{"1", Identity{Model: "FMB120"}, 9, 40, "tank.all=0 °C"},
		{"1", Identity{Model: "FMB120"}, 9, 0xFFFF, "tank.all!broken"},
		{"1", Identity{}, 9, 40, "ambiguous"}, // it may be of the family that has a row of its own
		{"1", Identity{}, 66, 12044, "silenced"},
		{"1", Identity{}, 65000, 1, "own.state=on"},
		{"1", Identity{}, 65000, 2, "own.state!unknown_code"},
		{"1", Identity{Model: "FMB120"}, 67, 4044, "battery.voltage=4.044 V"},
	} {
		if got := says(Resolve(d, c.imei, c.who, none), c.id, c.number); got != c.want {
			t.Errorf("%s %+v, %d: %q, expected %q", c.imei, c.who, c.id, got, c.want)
		}
	}
	if got := says(Resolve(Embedded(), "1", Identity{}, none), 66, 12044); got != "external.powersource.voltage=12.044 V" {
		t.Errorf("the dictionary itself has changed: %s", got)
	}
	if rows := slices.Collect(d.Overrides()); len(rows) != 8 || rows[0].Line != 2 || rows[0].Name != "tank.level" {
		t.Errorf("%+v", rows)
	}
}

// TestOverrideHeader: the first line may name the columns, in any order.
func TestOverrideHeader(t *testing.T) {
	d := overridden(t, "match\ttype\tid\twidth\tname\tunit\tflags\tenum",
		"*\tflags\t65000\t1\town.flags\t\t0=low|4-6=high")
	v, why := Resolve(d, "1", Identity{}, &Evidence{}).Decode(65000, Width1, []byte{0x51})
	if why != Named || string(v.JSON) != `["low","high:5"]` {
		t.Errorf("%v %v", v, why)
	}
}

// TestOverrideTakesAName: a name is there once in a record. What the dictionary calls by it is taken out.
func TestOverrideTakesAName(t *testing.T) {
	for _, row := range []string{
		"imei:" + imei + "\t9\t2\tbattery.voltage\tnumber\t\t0.01\t\tV",
		"model:FMB120\t9\t2\tbattery.voltage\tnumber\t\t0.01\t\tV",
		"family:fmb\t9\t2\tbattery.voltage\tnumber\t\t0.01\t\tV", "*\t9\t2\tbattery.voltage\tnumber\t\t0.01\t\tV",
	} {
		r := Resolve(overridden(t, row), imei, Identity{Model: "FMB120"}, &Evidence{})
		if got := says(r, 9, 100); got != "battery.voltage=1 V" {
			t.Errorf("%s: %s", row, got)
		}
		if got := says(r, 67, 4000); got != "silenced" {
			t.Errorf("%s: 67 is %s", row, got)
		}
	}
	both := overridden(t, "*\t9\t2\ttank\tnumber", "model:FMB120\t10\t2\ttank\tnumber",
		"imei:"+imei+"\t11\t2\ttank\tnumber")
	for _, who := range []struct {
		imei, model string
		id          uint16
	}{{imei, "FMB120", 11}, {"1", "FMB120", 10}, {"1", "FMB130", 9}} {
		r := Resolve(both, who.imei, Identity{Model: who.model}, &Evidence{})
		for id := uint16(9); id <= 11; id++ {
			if named := says(r, id, 5) == "tank=5"; named != (id == who.id) {
				t.Errorf("%+v: %d is %s", who, id, says(r, id, 5))
			}
		}
	}
}

func TestVersion(t *testing.T) {
	plain := Embedded()
	same := overridden(t, "# nothing", "")
	a, b := overridden(t, "*\t9\t2\ttank\tnumber"), overridden(t, "*\t9\t2\ttank\tnumber\t1")
	again := overridden(t, "# a comment changes nothing", "*  9  2  tank  number")
	if plain.Version() != release || same.Version() != release || a.Version() == b.Version() ||
		a.Version() != again.Version() || !strings.HasPrefix(a.Version(), release+"+") || len(a.Version()) != len(release)+5 {
		t.Error(plain.Version(), same.Version(), a.Version(), b.Version(), again.Version())
	}
}

func TestOverrideErrors(t *testing.T) {
	for _, c := range []struct {
		rows string
		line int
		part string
	}{
		{"*\t9\t2\tTank\tnumber", 1, "column name"},
		{"*\t9\t2\ttank.\tnumber", 1, "column name"},
		{"*\t9\t2\t" + strings.Repeat("a", 65) + "\tnumber", 1, "column name"},
		{"\n# x\n*\t70000\t2\ttank\tnumber", 3, "column id"},
		{"*\tnine\t2\ttank\tnumber", 1, "column id"},
		{"*\t9\t3\ttank\tnumber", 1, "column width"},
		{"*\t9\t16\ttank\tnumber", 1, "column width"},
		{"*\t9\t2\ttank\tfloat", 1, "column type"},
		{"*\t9\t2\ttank\tnumber\tyes", 1, "column signed"},
		{"*\t9\t2\ttank\tnumber\t0\t0,05", 1, "column multiplier"},
		{"*\t9\t2\ttank\tnumber\t0\t-1", 1, "column multiplier"},
		{"*\t9\t2\ttank\tnumber\t0\t0", 1, "column multiplier"},
		{"*\t9\t2\ttank\tnumber\t0\t1\t1e3", 1, "column offset"},
		{"*\t9\t2\ttank\tnumber\t0\t1\t0\tlitres per hundred", 1, "column unit"},
		{"*\t9\t2\tbattery.voltage\tnumber\t0\t1\t0\tmV", 1, "column unit"},
		{"imei:1\t9\t2\ttank\tnumber\t\t\t\tl\nimei:2\t9\t2\ttank\tnumber\t\t\t\t%", 2, "column unit"},
		{"imei:1\t9\t2\ttank\tnumber\t\t\t\tl\nimei:2\t9\t2\ttank\tnumber\t\t0.1\t\tl", 0, ""},
		{"\ufeff*\t9\t2\ttank\tnumber", 0, ""}, // as some editors begin a file
		{"*\t9\t1\ttank\tenum\t\t\t\t\t256=high", 1, "column enum"},
		{"*\t9\t1\ttank\tenum\t\t\t\t\t1=on|1=off", 1, "column enum"},
		{"*\t9\t1\ttank\tenum\t\t\t\t\t1=\"on\"", 1, "column enum"},
		{"*\t9\t1\ttank\tenum", 1, "column enum"},
		{"*\t9\t1\ttank\tnumber\t\t\t\t\t1=on", 1, "column enum"},
		{"*\t9\t1\ttank\tflags\t\t\t\t\t\t8=high", 1, "column flags"},
		{"*\t9\t1\ttank\tflags\t\t\t\t\t\t3-1=high", 1, "column flags"},
		{"*\t9\t1\ttank\tnumber\t\t\t\t\t\t\t-1:broken", 1, "column invalid"},
		{"*\t9\t1\ttank\tnumber\t\t\t\t\t\t\t1:Broken", 1, "column invalid"},
		{"fmb\t9\t2\ttank\tnumber", 1, "column match"},
		{"imei:\t9\t2\ttank\tnumber", 1, "column match"},
		{"imei:*\t9\t2\ttank\tnumber", 1, "column match"},
		{"imei:1 2\t9\t2\ttank\tnumber", 1, "column match"},
		{"model:\t9\t2\ttank\tnumber", 1, "column match"},
		{"family:fmz\t9\t2\ttank\tnumber", 1, "column match"},
		{"*\t9\t2\ttank\tnumber\n*\t9\t2\tother\tnumber", 2, "line 1 defines"},
		{"*\t9\t2\ttank\tnumber\n*\t10\t2\ttank\tnumber", 2, "line 1 has the name"},
		{"match\tid\twidth\tname\n", 1, "type is missing"},
		{"match\tid\twidth\tname\ttype\tcolour\n", 1, "colour"},
		{"match\tid\tid\twidth\tname\ttype\n", 1, "twice"},
		{"*\t9\t2\ttank\tnumber" + strings.Repeat("\t", 20), 0, ""}, // empty columns at the end are none
		{"*\t9\t2\ttank\tnumber" + strings.Repeat("\tx", 20), 1, "25 columns"},
		{"*" + strings.Repeat(" ", MaxOverrideBytes), 1, "bytes"},
		{strings.Repeat("*  9  2\n", 3), 1, "column name"},
	} {
		d, err := Embedded().Override(c.rows)
		var at *OverrideError
		switch {
		case c.line == 0:
			if err != nil {
				t.Errorf("%.60q: %v", c.rows, err)
			}
		case !errors.As(err, &at) || at.Line != c.line || !strings.Contains(err.Error(), c.part) || d != nil:
			t.Errorf("%.60q: %v, expected line %d, %s", c.rows, err, c.line, c.part)
		}
	}
	if _, err := overridden(t, "*\t9\t2\ttank\tnumber").Override("*\t10\t2\tother\tnumber"); err == nil {
		t.Error("overrides over overrides")
	}
}

// TestOverrideErrorsAreShort expects them to name what is wrong, however long it is: they go to logs.
func TestOverrideErrorsAreShort(t *testing.T) {
	long := strings.Repeat("0", 100_000)
	for _, row := range []string{
		long + "\t9\t2\ttank\tnumber", "*\t9" + long + "\t2\ttank\tnumber", "*\t9\t2" + long + "\ttank\tnumber",
		"*\t9\t2\tA" + long + "\tnumber", "*\t9\t2\ttank\t" + long, "*\t9\t2\ttank\tnumber\t" + long,
		"*\t9\t2\ttank\tnumber\t0\t" + long, "*\t9\t1\ttank\tenum\t\t\t\t\t999" + long + "=a",
		"*\t9\t1\ttank\tenum\t\t\t\t\t1=" + long, "*\t9\t1\ttank\tflags\t\t\t\t\t\t" + long + "9=a",
		"match\tid\twidth\tname\ttype\t" + long + "\n",
	} {
		_, err := Embedded().Override(row)
		if err == nil || len(err.Error()) > 1100 || !strings.HasPrefix(err.Error(), "line 1") {
			t.Errorf("%.40q: %.300v", row, err)
		}
	}
}

func TestOverridesAreBounded(t *testing.T) {
	var rows strings.Builder
	for i := range MaxOverrides {
		fmt.Fprintf(&rows, "imei:%d\t9\t2\ttank\tnumber\n", i)
	}
	full := rows.String()
	d := overridden(t, full)
	if got := says(Resolve(d, "77", Identity{}, &Evidence{}), 9, 5); got != "tank=5" {
		t.Error(got)
	}
	var at *OverrideError
	if _, err := Embedded().Override(full + "*\t9\t2\ttank\tnumber"); !errors.As(err, &at) || at.Line != MaxOverrides+1 {
		t.Error(err)
	}
}

func FuzzOverride(f *testing.F) {
	f.Add("imei:356307042441013\t9\t2\ttank.level\tnumber\t0\t0.05\t0\t%")
	f.Add("match\tid\twidth\tname\ttype\tenum\nfamily:ft\t9\t1\tt\tenum\t1=on|2=off")
	f.Add("\f\n \t")
	f.Add("*  66  2  -\nmodel:FMB640  1  x  a.b  flags")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Embedded().Override(text)
		if err != nil {
			var at *OverrideError
			if !errors.As(err, &at) || at.Line < 1 || at.Line > 1+strings.Count(text, "\n") {
				t.Fatalf("%v", err)
			}
			return
		}
		r := Resolve(d, imei, Identity{Model: "FMB640", By: ByMap}, &Evidence{})
		for o := range d.Overrides() {
			checkMember(t, r, o.ID, o.Width, 1<<63|12345, []byte("any text"))
		}
	})
}

// TestReadersWithOverridesAreShared by the devices that the same overrides are for: many rows are in memory once.
func TestReadersWithOverridesAreShared(t *testing.T) {
	d := overridden(t, "imei:35*\t9\t2\ttank.short\tnumber", "imei:3563*\t10\t2\ttank.long\tnumber",
		"imei:356309\t11\t2\ttank.own\tnumber", "model:FMB640\t12\t2\ttank.model\tnumber")
	resolve := func(imei, model string) *Reader {
		return Resolve(d, imei, Identity{Model: model, By: ByMap}, &Evidence{})
	}
	for _, c := range []struct {
		imei, model, other, otherModel string
		shared                         bool
	}{
		{"35631", "FMB640", "35632", "FMB640", true},
		{"351", "FMB640", "352", "FMB640", true},
		{"1", "FMB640", "2", "FMB640", true},
		{"35631", "FMB640", "35632", "FMB641", false},
		{"35631", "FMB640", "351", "FMB640", false},
		{"351", "FMB640", "1", "FMB640", false},
		{"35631", "FMB640", "356309", "FMB640", false},
	} {
		if (resolve(c.imei, c.model) == resolve(c.other, c.otherModel)) != c.shared {
			t.Errorf("%s %s and %s %s: shared is not %v", c.imei, c.model, c.other, c.otherModel, c.shared)
		}
	}
	r := resolve("356309", "FMB640")
	for id, want := range map[uint16]string{9: "tank.short=7", 10: "tank.long=7", 11: "tank.own=7", 12: "tank.model=7"} {
		if got := says(r, id, 7); got != want {
			t.Errorf("%d says %s", id, got)
		}
	}
}
