package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	maxPolicySize     = 1 << 20 // bytes
	maxPolicyProblems = 100     // that are listed
)

// ErrNoRules means that a policy has no rule. It would allow everything; who means that writes `allow *`.
var ErrNoRules = errors.New("there is no rule in it; write `allow *` if everything may be sent")

// PolicyError is a line of a policy that is wrong.
type PolicyError struct {
	Line, Column int // from 1
	Problem      string
}

func (e *PolicyError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Problem)
}

// LoadPolicy reads a policy from a file; see ReadPolicy.
func LoadPolicy(path string) (*Policy, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // a pipe would be waited for
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := ReadPolicy(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// ReadPolicy reads a policy of up to 1 MiB, in place of the default one. Each line is a rule:
//
//	allow|confirm|deny PATTERN
//
// What follows a # at the start of a word is a comment. A pattern is a command, in which * stands for any text. Case
// and the amount of white space do not matter. A rule that allows matches exactly that command; a rule that asks to
// confirm, or denies, matches it with more arguments too: `deny deleterecords` is `deny deleterecords *`. `setparam
// 2004` means any value of the parameter, `setparam 2004:*`. A payload that is not plain, see [Policy], is the command
// `binary`.
//
// The error is ErrNoRules, of r, or names every line that is wrong, each a [PolicyError].
func ReadPolicy(r io.Reader) (*Policy, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPolicySize+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxPolicySize:
		return nil, fmt.Errorf("a policy is at most %d bytes long", maxPolicySize)
	}
	f := policyFile{policy: new(Policy)}
	for line := range strings.SplitSeq(strings.TrimPrefix(string(text), "\ufeff"), "\n") {
		f.line++
		f.read(strings.TrimSuffix(line, "\r"))
	}
	switch {
	case len(f.problems) > maxPolicyProblems:
		more := fmt.Errorf("and %d more", len(f.problems)-maxPolicyProblems)
		return nil, errors.Join(append(f.problems[:maxPolicyProblems], more)...)
	case len(f.problems) > 0:
		return nil, errors.Join(f.problems...)
	case len(f.policy.rules) == 0:
		return nil, ErrNoRules
	}
	return f.policy, nil
}

// policyFile is a policy that is being read.
type policyFile struct {
	policy   *Policy
	line     int
	all      int // the line with a rule for *, behind which nothing counts; 0 = none yet
	problems []error
}

func (f *policyFile) wrong(column int, format string, args ...any) {
	f.problems = append(f.problems, &PolicyError{f.line, column + 1, fmt.Sprintf(format, args...)})
}

func (f *policyFile) read(line string) {
	line = withoutComment(line)
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	start := strings.Index(line, words[0])
	effect, known := effectOf(words[0])
	if !known {
		f.wrong(start, "%.32q is not allow, confirm or deny", words[0])
		return
	}
	behind := start + len(words[0])
	pattern := line[behind:]
	if len(words) == 1 {
		f.wrong(behind, "no pattern")
		return
	}
	if i := strings.IndexFunc(pattern, func(c rune) bool { return c != '\t' && (c < ' ' || c > '~') }); i >= 0 {
		f.wrong(behind+i, "a pattern is of printable ASCII characters; the name of other payloads is %s", binary)
		return
	}
	if i := strings.IndexByte(pattern, ';'); i >= 0 {
		f.wrong(behind+i, "a semicolon separates commands: write a rule for each")
		return
	}
	if f.all > 0 {
		f.wrong(start, "the rule for * in line %d decides everything before this one", f.all)
		return
	}
	r := newRule(effect, words[1:])
	if strings.Trim(r.pattern, "*") == "" {
		f.all = f.line
	}
	f.policy.rules = append(f.policy.rules, r)
}

func effectOf(word string) (Effect, bool) {
	for v := Allow; v <= Deny; v++ {
		if strings.EqualFold(word, v.String()) {
			return v, true
		}
	}
	return Deny, false
}

// withoutComment cuts off what follows a # at the start of a word.
func withoutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}
