package command

import (
	_ "embed"
	"strconv"
	"strings"
)

// Policy says which commands may be sent: an ordered list of rules, of which the first that matches a command
// decides. A plain command that no rule matches is allowed, so `deny *` as the last rule makes a list of what is
// allowed. A Policy never changes and may be used by many goroutines at once.
//
// A payload is plain if there is no doubt what a device takes it for; see readPlain. It counts as each of the
// commands in it, and each parameter of a setparam or getparam is one: `setparam 1000:5;2004:a.example` counts as
// `setparam 1000:5` and as `setparam 2004:a.example`. The strictest decision counts. Case, the amount of spaces, and
// CR, LF and NUL at the end do not matter. A word that is a command's name counts wherever it stands, such as behind
// the login and password of a text message or behind a comma, but only for rules that begin with a name, so that a
// rule for `*` does not refuse an allowed command because of one of its arguments.
//
// Every other payload is odd, and counts as the command `binary`: text with control characters, ids of parameters
// in another base, data for a serial port. If no rule matches that, it needs confirmation. A rule that denies, or
// asks to confirm, counts too if the name it begins with is in the payload in any spelling: `deny setparam 2004`
// refuses `setparam 0x7d4:a`, and `setparam\n1000:5`.
type Policy struct{ rules []rule }

// Effect is what a policy says about a command. A greater one is stricter.
type Effect int

// The effects.
const (
	Allow   Effect = iota // it may be sent
	Confirm               // it may be sent if its sender says that it is meant; see Command.Confirm
	Deny                  // it is not sent
)

// String is the word in a policy's file.
func (v Effect) String() string { return [...]string{"allow", "confirm", "deny"}[v] }

// Decision is what a policy says about a payload, and why.
type Decision struct {
	Effect Effect
	Rule   string // the rule that decided, as it is written; empty if none matches
	Odd    string // why the payload counts as binary, in words; empty if it is plain
}

// because is the rule for people.
func (r Decision) because() string {
	if r.Odd == "" {
		return r.Rule
	}
	return r.Rule + " (the payload is not a plain command: " + r.Odd + ")"
}

// binary is the name by which rules match a payload that is not plain.
const binary = "binary"

//go:embed policy_default.txt
var defaultPolicy string

// DefaultPolicy asks to confirm what destroys data, cuts the device off, or acts on the vehicle; policy_default.txt
// lists it, with the reasons.
func DefaultPolicy() *Policy {
	p, err := ReadPolicy(strings.NewReader(defaultPolicy))
	if err != nil {
		panic(err) // it is part of the program
	}
	return p
}

// Evaluate returns the strictest decision of all that a payload may be taken for.
func (p *Policy) Evaluate(payload []byte) Decision {
	commands, odd := readPlain(payload)
	if odd != "" {
		return p.evaluateOdd(payload, odd)
	}
	if len(commands) == 0 {
		return p.match("", false)
	}
	var strictest Decision
	consider := func(r Decision) {
		if r.Effect > strictest.Effect || strictest.Rule == "" {
			strictest = r
		}
	}
	for _, c := range commands {
		consider(p.match(c, false))
		names(c, func(guess string) {
			if guess != c {
				consider(p.match(guess, true))
			}
		})
	}
	return strictest
}

// evaluateOdd is Evaluate for a payload of which nobody knows what a device makes of it.
func (p *Policy) evaluateOdd(payload []byte, why string) Decision {
	strictest := p.match(binary, false)
	if strictest.Rule == "" {
		strictest = Decision{Effect: Confirm, Rule: Confirm.String() + " " + binary}
	}
	letters := squeeze(string(payload))
	for i := range p.rules {
		r := &p.rules[i]
		if r.effect > strictest.Effect && r.inside != "" && matches(r.inside, letters) {
			strictest = Decision{Effect: r.effect, Rule: r.text}
		}
	}
	strictest.Odd = why
	return strictest
}

func (p *Policy) match(command string, guess bool) Decision {
	for i := range p.rules {
		r := &p.rules[i]
		if guess && r.pattern[0] == '*' {
			continue
		}
		if matches(r.pattern, command) {
			return Decision{Effect: r.effect, Rule: r.text}
		}
	}
	return Decision{}
}

// rule is a line of a policy.
type rule struct {
	effect  Effect
	pattern string // as readPlain has commands: lower case, one space between words
	inside  string // the name it begins with, wherever it stands among letters; empty if it begins with none
	text    string // as written, for people
}

// newRule makes a rule of the words of its line.
func newRule(v Effect, words []string) rule {
	r := rule{effect: v, text: v.String() + " " + strings.Join(words, " ")}
	r.pattern = strings.ToLower(strings.Join(words, " "))
	if args, ok := strings.CutPrefix(r.pattern, setparam+" "); ok {
		r.pattern = setparam + " " + parameterPattern(args)
	}
	r.inside = insidePattern(r.pattern)
	if v != Allow && !strings.HasSuffix(r.pattern, "*") {
		r.pattern += " *" // an argument more does not get around a rule
	}
	return r
}

// parameterPattern writes a pattern for parameters as readPlain has commands. An id alone stands for any value.
func parameterPattern(s string) string {
	value := strings.TrimLeft(s, digits)
	id := s[:len(s)-len(value)]
	if n, err := strconv.Atoi(id); err == nil {
		id = strconv.Itoa(n)
	}
	switch {
	case id == "" || strings.HasPrefix(value, "*"):
		return s // a name, or the first digits of ids
	case strings.TrimLeft(value, " :=") == "":
		return id + ":*"
	}
	return id + ":" + strings.TrimLeft(value, " :=")
}

// insidePattern is a pattern for the first word of one, wherever it stands among letters.
func insidePattern(pattern string) string {
	word, _, _ := strings.Cut(pattern, " ")
	parts := strings.Split(word, "*")
	for i := range parts {
		parts[i] = squeeze(parts[i])
	}
	if strings.Join(parts, "") == "" {
		return ""
	}
	return "*" + strings.Join(parts, "*") + "*"
}

// matches reports whether a command is of the pattern, in which * stands for any text. A pattern that ends with a space
// and * matches the command without arguments too.
func matches(pattern, command string) bool {
	if bare, ok := strings.CutSuffix(pattern, " *"); ok && matches(bare, command) {
		return true
	}
	p, c := 0, 0
	star, resume := -1, 0 // the last * and what the rest behind it was compared with
	for c < len(command) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, c
			p++
		case p < len(pattern) && pattern[p] == command[c]:
			p++
			c++
		case star >= 0:
			resume++
			p, c = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
