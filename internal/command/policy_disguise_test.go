package command

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// disguise writes commands in every way that some firmware might read as the same command.
type disguise struct{ rng *rand.Rand }

func pick[T any](d disguise, from []T) T { return from[d.rng.IntN(len(from))] }

// separators are what a firmware may split at: every byte that cannot be of a name, alone, and the white space of
// Unicode.
var separators = func() (all []string) {
	for c := range 256 {
		if c >= 0x80 || !isNameByte(byte(c)) && (c < 'A' || c > 'Z') {
			all = append(all, string([]byte{byte(c)}))
		}
	}
	return append(all, "\u0085", "\u00a0", "\u2003", "\u2028", "\u3000", "\u200b", "\ufeff",
		"\r\n", " ; ", ", ", "  ", "\t ", "&&", "||", `\n`, "%20", "%0a")
}()

// writings are the ways to write an id, as text, a number in some base, or what is left of one in 16 or 32 bits.
func writings(id int) []string {
	n := int64(id)
	all := []string{
		fmt.Sprintf("-%d", 65536-n), fmt.Sprintf(" -%d", 65536-n), fmt.Sprint(65536 + n), // 16 bits
		fmt.Sprintf("-%d", 1<<32-n), fmt.Sprint(1<<32 + n), // 32 bits
		fmt.Sprintf("%.3fe3", float64(n)/1000),
	}
	for _, form := range []string{
		"%d", "00%d", "+%d", "0x%x", "0X%X", "%xh", "$%x", "x%x", "0%o", "0o%o", "0b%b", "%d.0", "%de0", "%d0e-1",
		"#%d", "(%d)", "{%d", `"%d"`, "'%d", "|%d", "\x08%d", "%d\x00",
	} {
		all = append(all, fmt.Sprintf(form, n))
	}
	return all
}

// dress puts a command among harmless ones, in any case.
func (d disguise) dress(command string) string {
	before := pick(d, []string{
		"", "", "getinfo", "getver", "pass", "login pass", "1234", "setparam 1000:5", "getparam 1000", "\x01\x02",
	})
	if before != "" {
		before += pick(d, separators)
	}
	after := pick(d, []string{"", "", "getver", "1001:30", "\x00\xff", "x"})
	if after != "" {
		after = pick(d, separators) + after
	}
	text := []byte(before + command + after)
	for i, c := range text {
		if c >= 'a' && c <= 'z' && d.rng.IntN(4) == 0 {
			text[i] -= 0x20
		}
	}
	return string(text)
}

// setparam is one that sets the parameter, and perhaps others.
func (d disguise) setparam(id int) string {
	before := pick(d, []string{"", "", "1000:5", "1000:5;1001:6", "1000 5", "7:"})
	if before != "" {
		before += pick(d, separators)
	}
	set := "setparam" + pick(d, separators) + before + pick(d, writings(id))
	return set + pick(d, append(separators, ":", ":", ":")) + pick(d, []string{"a.example", "", "1", "0"})
}

// TestDisguisedCommands takes each command for which the default policy asks, writes it in many ways, and expects
// that none passes without confirmation, and that a policy that denies them denies all.
func TestDisguisedCommands(t *testing.T) {
	asks := DefaultPolicy()
	denied := strings.NewReplacer("confirm binary", "#", "confirm", "deny").Replace(defaultPolicy)
	denies := policyOf(t, denied+"\nallow *")
	d := disguise{rand.New(rand.NewPCG(1, 2))}
	for i := range asks.rules {
		name, args, _ := strings.Cut(strings.TrimSuffix(asks.rules[i].pattern, ":*"), " ")
		for range 700 {
			command := name
			switch id, err := strconv.Atoi(strings.TrimSuffix(args, ":*")); {
			case name == binary:
				command = "\x01"
			case name == setparam && err != nil:
				t.Fatalf("%q is no rule of a parameter", asks.rules[i].text)
			case name == setparam:
				command = d.setparam(id)
			}
			payload := d.dress(command)
			if got := asks.Evaluate([]byte(payload)); got.Effect != Confirm {
				t.Fatalf("%q passes without confirmation", payload)
			}
			if got := denies.Evaluate([]byte(payload)); got.Effect != Deny && name != binary {
				t.Fatalf("%q: %v by %q", payload, got.Effect, got.Rule)
			}
		}
	}
}

// TestEverySeparator has each byte in each place between the words of a dangerous command.
func TestEverySeparator(t *testing.T) {
	p := DefaultPolicy()
	for _, s := range separators {
		for _, form := range []string{
			"setparam%s2004:a", "setparam 2004%sa", "setparam %s2004:a", "setparam 2004:%sa", "%ssetparam 2004:a",
			"setparam%s 2004:a", "setparam 1000:5%s2004:a", "setparam 1000:5%s2004 a", "setparam 1000:5;%s2004:a",
			"setparam 1000%s2004:a", "setparam 20%s04:a", "getver%ssetparam 2004:a",
			"getver%scpureset", "pass%scpureset", "cpureset%s", "%scpureset", "cpureset%s1",
		} {
			payload := fmt.Sprintf(form, s)
			if form == "setparam 20%s04:a" && (s == ":" || s == ";") {
				continue // sets 20, or nothing
			}
			if got := p.Evaluate([]byte(payload)); got.Effect != Confirm {
				t.Errorf("%q passes without confirmation", payload)
			}
		}
	}
}

// TestNoFalseAlarm has what operators send every day.
func TestNoFalseAlarm(t *testing.T) {
	p := DefaultPolicy()
	asked := make(map[string]bool)
	for i := range p.rules {
		word, _, _ := strings.Cut(p.rules[i].pattern, " ")
		asked[word] = true
	}
	payloads := []string{
		"getparam 2004", "getparam 2004?", "getparam 2001;2002;2003", "getparam 2004, 2005",
		"setparam 1000:300", "setparam 1000:300;1001:30", "SetParam  1000:-5 ; 1001:+6\r\n", "setparam 1000:5;getver",
		"setparam 4000:+37061234567", "setparam 100:tracker.example", "setparam 1000:2004", "setparam 2:54.6872",
		"readio 21", "getrecord 2026/11/22 11:00:00", "camreq:0,1", "odoset:1200", "ggps", "getver;getinfo",
		"#GET DATAORDER", "getinfo\x00", "web",
	}
	for name := range known {
		if !asked[name] {
			payloads = append(payloads, name, strings.ToUpper(name), name+"\r\n")
		}
	}
	for id := range 65536 {
		if text := fmt.Sprintf("setparam %d:1", id); p.Evaluate([]byte(text)).Effect == Allow {
			continue
		} else if !strings.Contains(defaultPolicy, fmt.Sprintf("confirm setparam %d", id)) {
			t.Errorf("%q asks for confirmation", text)
		}
	}
	for _, payload := range payloads {
		if got := p.Evaluate([]byte(payload)); got.Effect != Allow && squeeze(payload) != setparam {
			t.Errorf("%q: %v by %s", payload, got.Effect, got.because())
		}
	}
}

// An odd payload needs confirmation by any policy that does not speak of it, and its sender learns why.
func TestOddNeedsConfirmation(t *testing.T) {
	p := policyOf(t, "allow getinfo\ndeny setparam 2004")
	for payload, want := range map[string]struct {
		verdict Effect
		says    string
	}{
		"getinfo":            {Allow, ""},
		"getinfo\tnow":       {Confirm, "byte 8, 0x09"},
		"setparam 0x7d4:a":   {Deny, "plain decimal"},
		"setparam\n1000:5":   {Deny, "byte 9, 0x0a"},
		"set\x00param 2004:": {Deny, "byte 4, 0x00"},
		"s\x00e\x00t\x00p\x00a\x00r\x00a\x00m\x00 2004:": {Deny, "byte 2, 0x00"},
	} {
		got := p.Evaluate([]byte(payload))
		if got.Effect != want.verdict || !strings.Contains(got.because(), want.says) {
			t.Errorf("%q: %v by %s", payload, got.Effect, got.because())
		}
	}
	for _, all := range []string{"allow *", "allow binary"} {
		if got := policyOf(t, all).Evaluate([]byte("get\tinfo")); got.Effect != Allow {
			t.Errorf("%q does not allow binary: %v", all, got.Effect)
		}
	}
}

// FuzzDisguise lets the fuzzer choose what surrounds a dangerous command.
func FuzzDisguise(f *testing.F) {
	f.Add("getver,", "\n", "x")
	f.Add("setparam 1000:5;", " -63532:", "")
	p := DefaultPolicy()
	f.Fuzz(func(t *testing.T, before, between, after string) {
		if squeeze(before[max(0, len(before)-1):]) != "" {
			before += " " // or it would be another name
		}
		for _, payload := range []string{before + "cpureset " + after, before + "setparam 2004:" + between + after} {
			if p.Evaluate([]byte(payload)).Effect == Allow {
				t.Errorf("%q passes without confirmation", payload)
			}
		}
	})
}
