package named

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// golden has a line for each name and family: what is sent with the least arguments and with all of them, and whether
// it has to be confirmed.
const golden = "testdata/golden.txt"

func TestEveryNameOfEveryFamily(t *testing.T) {
	var b strings.Builder
	for _, name := range Embedded().Names() {
		for _, f := range meaning.Families() {
			b.WriteString(line(name, f))
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s is not what the table says:\n%s", golden, b.String())
	}
}

func line(name string, f meaning.Family) string {
	least, all := map[string]string{}, map[string]string{}
	row := Embedded().find(name, f.String(), "")
	if row == nil {
		return fmt.Sprintf("%s %v -\n", name, f)
	}
	for _, p := range row.Parameters() {
		if all[p.Name] = fmt.Sprint(p.Max); p.Max == 0 {
			all[p.Name] = "-1.5"
		}
		if !p.Optional {
			least[p.Name] = all[p.Name]
		}
	}
	short, err := Embedded().Resolve(name, f.String(), "", least)
	if err != nil {
		return fmt.Sprintf("%s %v %v\n", name, f, err)
	}
	text := short.Payload
	if long, err := Embedded().Resolve(name, f.String(), "", all); err != nil || long.Payload != text {
		text += fmt.Sprintf(" | %s", long.Payload)
	}
	if row.Dangerous() {
		text += " (dangerous)"
	}
	if row.OnVehicle() {
		text += " (vehicle)"
	}
	return fmt.Sprintf("%s %v %s\n", name, f, text)
}

// TestEveryTextIsPlain: the policy sees in each what the device does.
func TestEveryTextIsPlain(t *testing.T) {
	for _, r := range Embedded().Rows("") {
		if odd := command.NotPlain([]byte(r.text.example())); odd != "" {
			t.Errorf("%s: %q is not plain: %s", r.Name, r.text.example(), odd)
		}
		if r.OnVehicle() && !r.Dangerous() {
			t.Errorf("%s acts on the vehicle without being confirmed", r.Name)
		}
	}
}

func TestRefused(t *testing.T) {
	args := func(pairs ...string) map[string]string {
		all := map[string]string{}
		for i := 0; i+1 < len(pairs); i += 2 {
			all[pairs[i]] = pairs[i+1]
		}
		return all
	}
	for _, c := range []struct {
		name, family string
		args         map[string]string
		field, says  string
	}{
		{"imobilize", "fmb", nil, "name", "see commands names"},
		{"immobilize", "", nil, "family", "getver"},
		{"immobilize", "tat", nil, "name", "no command for the family tat"},
		{"immobilize", "fmb", args("seconds", "0"), "args", "1 to 86400"},
		{"immobilize", "fmb", args("seconds", "1 ? 5"), "args", "whole number"},
		{"immobilize", "fmb", args("seconds", "+1"), "args", "whole number"},
		{"immobilize", "fmb", args("seconds", ""), "args", "whole number"},
		{"immobilize", "fmb", args("output", "1"), "args", "does not take"},
		{"get-parameter", "fmb", nil, "args", "need id"},
		{"get-parameter", "fmb", args("id", "65536"), "args", "0 to 65535"},
		{"set-parameter", "fmb", args("id", "1000", "value", "5;cpureset"), "args", "need value"},
		{"set-parameter", "fmb", args("id", "1000", "value", "5 cpureset"), "args", "need value"},
		{"set-parameter", "fmb", args("id", "1000", "value", "5\r\ncpureset"), "args", "need value"},
		{"set-parameter", "fmb", args("id", "1000", "value", "5\x00"), "args", "need value"},
		{"set-parameter", "fmb", args("id", "1000", "value", "{id}["), "args", "need value"},
		{"set-parameter", "fmb", args("id", "1000", "value", strings.Repeat("x", 129)), "args", "need value"},
	} {
		got, err := Embedded().Resolve(c.name, c.family, "", c.args)
		var refused *Error
		if !errors.As(err, &refused) || refused.Field != c.field || !strings.Contains(refused.Problem, c.says) {
			t.Errorf("%s of %q with %q: %+v, %v; want %s with %q", c.name, c.family, c.args, got, err, c.field, c.says)
		}
	}
}

func TestOverride(t *testing.T) {
	own, err := Embedded().Override(strings.NewReader("\n# mine\n" +
		"immobilize\tFMC130\tsetdigout 0\tthe relay is open at rest\n" +
		"resume  FMC130  setdigout 1\n" +
		"siren  *  setdigout ?1[ ? {seconds:1-60}]\n" +
		"restart  fmb  -\n" +
		"report  *  -\n" +
		"set  *  setparam {id:1-9}:{value}\n" +
		"any  * \tdo {what}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, family, model, want string }{
		{"immobilize", "fmb", "FMC130", "setdigout 0"},
		{"immobilize", "fmb", "fmc130", "setdigout 0"},
		{"immobilize", "fmb", "FMB120", "setdigout 1"},
		{"immobilize", "fmx6", "FMB640", "setdigout 1???"},
		{"siren", "", "", "setdigout ?1"},
		{"restart", "fmb", "", `name "restart" has no command for the family fmb: see commands names`},
		{"restart", "ft", "", "cpureset"},
		{"report", "fmb", "FMC130", `name "report" has no command for FMC130: see commands names`},
	} {
		got, err := own.Resolve(c.name, c.family, c.model, nil)
		switch {
		case err != nil && err.Error() != c.want:
			t.Errorf("%v: %v", c, err)
		case err == nil && got.Payload != c.want:
			t.Errorf("%v is %q", c, got.Payload)
		}
	}
	for what, want := range map[string]bool{"getver": false, "setparam": true, "setdigout": true} {
		c, err := own.Resolve("any", "", "", map[string]string{"what": what})
		if err != nil || c.Dangerous() != want || c.OnVehicle() != (what == "setdigout") {
			t.Errorf("%s: %+v, %v", what, c, err)
		}
	}
	if n := len(Embedded().Names()); len(own.Names()) != n+3 {
		t.Errorf("%d names, the embedded table has %d", len(own.Names()), n)
	}
	for _, r := range own.Rows("fmb") {
		if r.Name == "restart" {
			t.Errorf("%v is listed", r)
		}
	}
}

func TestOverrideErrors(t *testing.T) {
	for text, want := range map[string]string{
		"restart fmb cpureset":                   "line 1: needs a name",
		"\nRestart  fmb  cpureset":               "line 2: \"Restart\" is no name",
		"restart  vw  cpureset":                  `"vw" is neither a family`,
		"restart  FNB130  cpureset":              `"FNB130" is neither a family`,
		"restart  fmb,  cpureset":                `"" is neither a family`,
		"two  fmb  getver;cpureset":              "without a semicolon",
		"odd  fmb  get\x01ver":                   "printable",
		"long  fmb  " + strings.Repeat("x", 257): "more than 256 bytes",
		"half  fmb  setdigout 1[ {seconds:1-9}":  "other half",
		"half  fmb  setdigout 1]":                "other half",
		"none  fmb  setdigout 1[ 5]":             "one parameter",
		"both  fmb  setdigout 1[ {a} {b}]":       "one parameter",
		"twice  fmb  x {a} {a}":                  "two parameters a",
		"word  fmb  {a} 1":                       "begin with the command's word",
		"word  fmb  set{a} 1":                    "begin with the command's word",
		"word  fmb  [{a}]":                       "begin with the command's word",
		"word  fmb  get[ver {a}]":                "begin with the command's word",
		"range  fmb  x {a:9-1}":                  "range is empty",
		"brace  fmb  x {A}":                      "neither {name}",
		strings.Repeat("x  *  -\n", 1100):        "1000 rows",
	} {
		if _, err := Embedded().Override(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// FuzzOverride: whatever stands in a file, and whatever the arguments are, what is sent is one command of printable
// ASCII characters.
func FuzzOverride(f *testing.F) {
	f.Add(embedded, "1")
	f.Add("a  *  b[ {x}]", "y")
	f.Add("a  *  setparam {id:1-9}:{value}[ {x}]", "5;cpureset")
	f.Fuzz(func(t *testing.T, file, value string) {
		table, err := new(Table).Override(strings.NewReader(file))
		if err != nil {
			return
		}
		for _, r := range table.Rows("") {
			args := map[string]string{}
			for _, p := range r.Parameters() {
				args[p.Name] = value
			}
			text, err := r.text.fill(args)
			if err == nil && (!printable.MatchString(text) || strings.Contains(text, ";")) {
				t.Errorf("%q with %q is %q", r.Text(), value, text)
			}
		}
	})
}
