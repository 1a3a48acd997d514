package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func policyOf(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := ReadPolicy(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaultPolicy(t *testing.T) {
	p := DefaultPolicy()
	for payload, rule := range map[string]string{
		"getinfo": "", "getver": "", "getgps": "", "getio": "", "readio 21": "", "getparam 2004": "",
		"getparam 2001;2004":   "",
		"setparam 1000:259200": "", "setparam 1001:30;1003:60": "", "setparam 1000:2004": "", "setparam 1245 2004": "",
		"setparam 11000:1": "", "setparam 20041:1": "", "countrecs": "", "web": "", "": "", "\r\n": "", "  ": "",
		"deleterecords":                      "confirm deleterecords",
		"DeleteRecords\r\n":                  "confirm deleterecords",
		"\t deleterecords \x00":              "confirm binary",
		"deleterecords now":                  "confirm deleterecords",
		"deleterecords,":                     "confirm deleterecords",
		"#deleterecords":                     "confirm deleterecords",
		"defaultcfg":                         "confirm defaultcfg",
		"cpureset":                           "confirm cpureset",
		"sdformat":                           "confirm sdformat",
		"cleardtc":                           "confirm cleardtc",
		"web_connect":                        "confirm web_connect",
		"flush 350000000000001,apn,l,p,h,1,": "confirm flush",
		"flush,350000000000001":              "confirm flush",
		"setdigout 10":                       "confirm setdigout",
		"setdigout ?1":                       "confirm setdigout",
		"setdigout:1":                        "confirm setdigout",
		"setparam 2004:a.example":            "confirm setparam 2004",
		"SETPARAM   2004 : a.example":        "confirm binary",
		"setparam 1000:5;2004:a.example":     "confirm setparam 2004",
		"setparam 1000:5 ; 2004 :a.example":  "confirm binary",
		"setparam 1000:5,2004:a.example":     "confirm binary",
		"setparam 1000:5 2004:a.example":     "confirm binary",
		"setparam 2004 a.example":            "confirm setparam 2004",
		"setparam 2004=a.example":            "confirm binary",
		"setparam 2004":                      "confirm binary",
		"setparam 002004:a.example":          "confirm binary",
		"setparam +2004:a.example":           "confirm binary",
		"setparam 67540:a.example":           "confirm binary",
		"setparam \"2004:a.example\"":        "confirm binary",
		"setparam:2004:a.example":            "confirm binary",
		"setparam,2004:a;1000:5":             "confirm binary",
		"setparam 1000:5;setparam 2005:1":    "confirm setparam 2005",
		"setparam 1000:5;getinfo;2005:1":     "confirm binary",
		"setparam 2007:b.example":            "confirm setparam 2007",
		"setparam 2020:0":                    "confirm setparam 2020",
		"getinfo;deleterecords":              "confirm deleterecords",
		"getinfo\rdeleterecords":             "confirm binary",
		"getinfo\ndeleterecords\n":           "confirm binary",
		"getinfo\n\n\nsetparam 5:1;2001:x":   "confirm binary",
		"pass deleterecords":                 "confirm deleterecords",
		"login pass deleterecords":           "confirm deleterecords",
		"login pass setparam 1000:1;2001:x":  "confirm binary",
		"getinfo\x00deleterecords":           "confirm binary",
		"\x01\x02":                           "confirm binary",
		"getinfo\xff":                        "confirm binary",
		"binary":                             "confirm binary",
	} {
		want := Allow
		if rule != "" {
			want = Confirm
		}
		if got := p.Evaluate([]byte(payload)); got.Effect != want || got.Rule != rule {
			t.Errorf("%q: %v by %q, expected %v by %q", payload, got.Effect, got.Rule, want, rule)
		}
	}
}

// TestHiddenInBinary has a policy to which binary payloads are welcome and one command is not.
func TestHiddenInBinary(t *testing.T) {
	p := policyOf(t, "deny deleterecords\nallow binary\ndeny *")
	for payload, denied := range map[string]bool{
		"\x01\x02\x03 some noise":      false,
		"camera \xff\xd8 5":            false,
		"getinfo":                      true, // text, and not on the list
		"deleterecords\xff":            true,
		"\x00\x00deleterecords":        true,
		"\x01delete\x00records\x02":    true,
		"getinfo\x00deleterecords":     true,
		"\xffdeleterecords\xff\xffx\n": true,
		"p\xe4ss deleterecords":        true,
	} {
		if got := p.Evaluate([]byte(payload)); (got.Effect == Deny) != denied {
			t.Errorf("%q: %v by %q, expected denied %v", payload, got.Effect, got.Rule, denied)
		}
	}
}

// TestAllowList has a policy that allows only what it names: nothing that it names is refused for one of its arguments.
func TestAllowList(t *testing.T) {
	p := policyOf(t,
		"allow getinfo\nallow getparam 1*\nallow setparam 1000\nallow setparam 1001:30\nconfirm readio *\ndeny *")
	for payload, want := range map[string]Effect{
		"getinfo\r\n":                   Allow,
		"GETINFO":                       Allow,
		"getinfo now":                   Deny,
		"getver":                        Deny,
		"":                              Deny,
		"getparam 1000":                 Allow,
		"getparam 1000;1001":            Allow,
		"getparam 1000, 1001 ?":         Allow,
		"getparam 1000;0x7d3":           Deny,
		"getparam 1000;2003":            Deny,
		"getparam 1000,2003":            Deny,
		"setparam 1000:5":               Allow,
		"setparam 1000:12:30":           Deny, // 12 may be an id
		"setparam 1000:5;1001:30":       Allow,
		"setparam 1001:31":              Deny,
		"setparam 1000:5;1001:30;1002:": Deny,
		"setparam 1000:5;getinfo":       Allow,
		"setparam 1000:5;getver":        Deny,
		"readio":                        Confirm,
		"readio 5":                      Confirm,
		"readio 5\ngetver":              Deny,
		"\xff":                          Deny,
	} {
		if got := p.Evaluate([]byte(payload)); got.Effect != want {
			t.Errorf("%q: %v by %q, expected %v", payload, got.Effect, got.Rule, want)
		}
	}
}

func TestFirstRuleDecides(t *testing.T) {
	p := policyOf(t,
		"# outputs\n\nallow setdigout 0* # off is harmless\n\tDENY  setdigout\r\nconfirm *reset*\nDeny setparam "+
			"02004:*.example\n")
	for payload, want := range map[string]struct {
		verdict Effect
		rule    string
	}{
		"setdigout 00":               {Allow, "allow setdigout 0*"},
		"setdigout 10":               {Deny, "deny setdigout"},
		"setdigout":                  {Deny, "deny setdigout"},
		"cpureset":                   {Confirm, "confirm *reset*"},
		"dr reset 1":                 {Confirm, "confirm *reset*"},
		"setparam 2004:a.b.example":  {Deny, "deny setparam 02004:*.example"},
		"setparam 2004:example.test": {},
		"getinfo":                    {},
	} {
		if got := p.Evaluate([]byte(payload)); got.Effect != want.verdict || got.Rule != want.rule {
			t.Errorf("%q: %v by %q, expected %v by %q", payload, got.Effect, got.Rule, want.verdict, want.rule)
		}
	}
}

func TestReadPolicyErrors(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says string // an error a line; empty = ErrNoRules
	}{
		"empty":         {"", ""},
		"only comments": {"# nothing\n\n   # at all", ""},
		"every kind": {"permit getinfo\nallow\n  deny # all\nallow getinfo\ndeny a;b\ndeny caf\u00e9\ndeny *\nallow getver\n",
			"line 1, column 1: \"permit\" is not allow, confirm or deny\n" +
				"line 2, column 6: no pattern\n" +
				"line 3, column 7: no pattern\n" +
				"line 5, column 7: a semicolon separates commands: write a rule for each\n" +
				"line 6, column 9: a pattern is of printable ASCII characters; the name of other payloads is binary\n" +
				"line 8, column 1: the rule for * in line 7 decides everything before this one"},
		"too long":  {strings.Repeat("#", maxPolicySize+1), "a policy is at most 1048576 bytes long"},
		"not text":  {"\x00\x01\x02", "line 1, column 1: \"\\x00\\x01\\x02\" is not allow, confirm or deny"},
		"very many": {strings.Repeat("x\n", 1000), "and 900 more"},
	} {
		p, err := ReadPolicy(strings.NewReader(c.text))
		var wrong *PolicyError
		switch {
		case err == nil:
			t.Errorf("%s: is a policy: %v", name, p)
		case c.says == "" && !errors.Is(err, ErrNoRules):
			t.Errorf("%s: %v, expected %v", name, err, ErrNoRules)
		case !strings.HasSuffix(err.Error(), c.says):
			t.Errorf("%s:\n%v\nexpected\n%s", name, err, c.says)
		case name == "every kind" && (!errors.As(err, &wrong) || wrong.Line != 1 || wrong.Column != 1):
			t.Errorf("%s: %+v is not the first wrong line", name, wrong)
		}
	}
}

func TestLoadPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	if _, err := LoadPolicy(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("\ufeffdeny getinfo\r\n")
	if p, err := LoadPolicy(path); err != nil || p.Evaluate([]byte("getinfo")).Effect != Deny {
		t.Errorf("%v, %v", p, err)
	}
	write("dany getinfo")
	if _, err := LoadPolicy(path); err == nil || !strings.HasPrefix(err.Error(), path+": line 1, column 1: ") {
		t.Errorf("wrong file: %v", err)
	}
}

func TestName(t *testing.T) {
	for payload, want := range map[string]string{
		"getinfo":                               "getinfo",
		"  GetInfo\r\n":                         "getinfo",
		"setdigout 10 5":                        "setdigout",
		"setparam 2003:secret":                  "setparam 2003",
		"setparam 1000:5;2003:secret;x":         "setparam 1000,2003",
		"setparam 2003 secret":                  "setparam 2003",
		"setparam:2003:secret":                  "setparam 2003",
		"setparam 2003:12:34":                   "setparam 2003",
		"setparam 2003:a;123456:b":              "setparam 2003",
		"setparam secret":                       "setparam",
		"setparam2003:secret":                   "setparam2003",
		"getparam 2003":                         "getparam 2003",
		"getparam 2001;2003":                    "getparam 2001,2003",
		"getparam secret":                       "getparam",
		"flush 1,apn,login,secret":              "flush",
		"1234 getinfo":                          "getinfo",
		"secret getver":                         "getver",
		" secret getver":                        "getver",
		"login secret setparam 2003:secret":     "setparam 2003",
		"1234 newcommand":                       "unknown",
		"newcommand 1234":                       "unknown",
		"#GET DATAORDER":                        "unknown",
		"getinfo\ndeleterecords":                "getinfo; deleterecords",
		"":                                      "unknown",
		"***":                                   "unknown",
		"getinfo\xff":                           "binary",
		"getinfo\x00deleterecords":              "binary",
		strings.Repeat("a", 65):                 strings.Repeat("a", 61) + "...",
		"getparam " + strings.Repeat("1;", 100): "getparam " + strings.Repeat("1,", 26) + "...",
	} {
		if got := Name([]byte(payload)); got != want {
			t.Errorf("%q is %q, expected %q", payload, got, want)
		}
	}
}

// FuzzHidden hides a command among anything, in every way that makes it one of several, and expects it to be found.
func FuzzHidden(f *testing.F) {
	f.Add("getinfo", "", uint64(0))
	f.Add("setparam 1000:5", "x", uint64(7))
	f.Add("\xff", "\x00", uint64(123456789))
	denied, standard := policyOf(f, "deny deleterecords\nallow *"), DefaultPolicy()
	ends := []string{"\r", "\n", "\r\n", "\x00", ";", "; ", "\n\t", "\r  "}
	f.Fuzz(func(t *testing.T, before, after string, how uint64) {
		name := []byte("deleterecords")
		for i := range name {
			if how>>i&1 == 1 {
				name[i] ^= 0x20
			}
		}
		how >>= len(name)
		payload := before + ends[how%8] + string(name) + ends[how/8%8] + after
		if got := denied.Evaluate([]byte(payload)); got.Effect != Deny {
			t.Errorf("%q: %v by %q", payload, got.Effect, got.Rule)
		}
		if got := standard.Evaluate([]byte(payload)); got.Effect != Confirm {
			t.Errorf("%q: %v by %q", payload, got.Effect, got.Rule)
		}
	})
}

// FuzzJudge expects that two payloads behind each other are judged at least as strictly as each, and that a name is
// short, printable, and free of values.
func FuzzJudge(f *testing.F) {
	f.Add("getinfo", "setparam 2004:a;1000:5")
	f.Add("login pass setparam 2003:secret", "\x00\xff;")
	f.Add("flush 1,2,3", "#GET DATAORDER\r\n")
	p := DefaultPolicy()
	f.Fuzz(func(t *testing.T, a, b string) {
		both := p.Evaluate([]byte(a + "\n" + b)).Effect
		if both < p.Evaluate([]byte(a)).Effect || both < p.Evaluate([]byte(b)).Effect {
			t.Errorf("%q and %q behind each other are only %v", a, b, both)
		}
		value := "s3cr3t" + strings.NewReplacer("\n", "", "\r", "", ";", "").Replace(a)
		for _, payload := range []string{a, b, "setparam 2003:" + value, "setparam 2003:1;2001 : " + value} {
			name := Name([]byte(payload))
			if name == "" || len(name) > maxName || !isText([]byte(name)) {
				t.Errorf("%q has the name %q", payload, name)
			}
			if strings.Contains(name, "s3cr3t") && !strings.Contains(a+b, "s3cr3t") {
				t.Errorf("%q has the name %q, with the value", payload, name)
			}
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	p := DefaultPolicy()
	for name, payload := range map[string]string{
		"getinfo": "getinfo", "setparam": "setparam 1000:259200;1001:30", "worst": strings.Repeat("a;", MaxPayload/2),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Evaluate([]byte(payload))
			}
		})
	}
}
