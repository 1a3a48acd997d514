package command

import (
	_ "embed"
	"strings"
)

// Policy says which commands may be sent: an ordered list of rules, of which the first that matches a command decides. A
// command that no rule matches is allowed, so `deny *` as the last rule makes a list of what is allowed. A Policy never
// changes and may be used by many goroutines at once.
//
// A payload is judged as everything that a device may take it for, and the strictest ruling counts:
//
//   - Case and the amount of white space do not matter, nor do CR, LF and NUL at the end.
//   - What CR, LF, NUL or `;` separates are commands of their own, and each `id:value` of a setparam and each id of a getparam
//     is: `setparam 1000:5;2004:a.example` is judged as `setparam 1000:5` and as `setparam 2004:a.example`. So are the older
//     form `setparam 2004 a.example` and ids with zeros before them.
//   - A payload with bytes that are not text is judged as the command `binary`, and by its text, once with those bytes
//     taken for white space and once with them left out.
//   - A command may stand behind a password, or a login and a password, as it does in a text message: `pass deleterecords` and
//     `login pass deleterecords` are judged as `deleterecords` too. The vendor's page knows no such prefix over
//     GPRS, but what a firmware makes of one nobody promises. Punctuation around a command's name is looked
//     through for the same reason.
//
// The last point and the text among other bytes are guesses; they are judged only by rules that begin with a name, so that
// a rule for `*` does not refuse an allowed command because of one of its arguments.
type Policy struct{ rules []rule }

// Verdict is what a policy says about a command. A greater one is stricter.
type Verdict int

// The verdicts.
const (
	Allow   Verdict = iota // it may be sent
	Confirm                // it may be sent if its sender says that it is meant; see Command.Confirm
	Deny                   // it is not sent
)

// String is the word in a policy's file.
func (v Verdict) String() string { return [...]string{"allow", "confirm", "deny"}[v] }

// Ruling is what a policy says about a payload, and why.
type Ruling struct {
	Verdict Verdict
	Rule    string // the rule that decided, as it is written; empty if none matches
}

// binary is the name by which rules match a payload that is not text.
const binary = "binary"

//go:embed policy_default.txt
var defaultPolicy string

// DefaultPolicy asks to confirm what destroys data, cuts the device off, or acts on the vehicle; policy_default.txt lists
// it, with the reasons.
func DefaultPolicy() *Policy {
	p, err := ReadPolicy(strings.NewReader(defaultPolicy))
	if err != nil {
		panic(err) // it is part of the program
	}
	return p
}

// Judge rules on a payload: the strictest ruling of all that it may be taken for.
func (p *Policy) Judge(payload []byte) Ruling {
	var strictest Ruling
	readings(payload, func(command string, guess bool) {
		if r := p.judge(command, guess); r.Verdict > strictest.Verdict || strictest.Rule == "" {
			strictest = r
		}
	})
	return strictest
}

func (p *Policy) judge(command string, guess bool) Ruling {
	for i := range p.rules {
		r := &p.rules[i]
		if guess && r.pattern[0] == '*' {
			continue
		}
		if matches(r.pattern, command) {
			return Ruling{r.verdict, r.text}
		}
	}
	return Ruling{}
}

// rule is a line of a policy.
type rule struct {
	verdict Verdict
	pattern string // as readings are: lower case, one space between words
	text    string // as written, for people
}

// newRule makes a rule of the words of its line.
func newRule(v Verdict, words []string) rule {
	r := rule{verdict: v, text: v.String() + " " + strings.Join(words, " ")}
	r.pattern = strings.ToLower(strings.Join(words, " "))
	if args, ok := strings.CutPrefix(r.pattern, setparam+" "); ok {
		r.pattern = setparam + " " + parameterPattern(args)
	}
	if v != Allow && !strings.HasSuffix(r.pattern, "*") {
		r.pattern += " *" // an argument more does not get around a rule
	}
	return r
}

// parameterPattern writes a pattern for parameters as setparam's readings have them. An id alone stands for any value.
func parameterPattern(s string) string {
	id, value := cutID(s)
	switch {
	case id == "" || strings.HasPrefix(strings.TrimLeft(s, digits), "*"):
		return s // a name, or the first digits of ids
	case value == "":
		return id + ":*"
	}
	return id + ":" + value
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
