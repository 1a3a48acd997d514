package tlsserver

import (
	"fmt"
	"io"
	"slices"
)

// Report is what Check and CheckFiles have found.
type Report struct {
	Facts    []Fact
	Problems []Problem
}

// Fact is something that was found, good or bad.
type Fact struct{ Name, Value string }

func (r *Report) fact(name, format string, args ...any) {
	r.Facts = append(r.Facts, Fact{name, fmt.Sprintf(format, args...)})
}

func (r *Report) problem(severity Severity, code, what, remedy string) {
	r.Problems = append(r.Problems, Problem{severity, code, what, remedy})
}

// OK reports whether devices can get in, as far as one can see: whether no problem is an error.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Severity == Error })
}

// Has reports whether there is a problem with the code.
func (r *Report) Has(code string) bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Code == code })
}

// WriteTo prints the report for people, facts first.
func (r *Report) WriteTo(w io.Writer) (written int64, err error) {
	add := func(format string, args ...any) {
		if err == nil {
			var n int
			n, err = fmt.Fprintf(w, format, args...)
			written += int64(n)
		}
	}
	for _, f := range r.Facts {
		add("%-22s %s\n", f.Name, f.Value)
	}
	for _, p := range r.Problems {
		add("%s: %s\n  remedy: %s\n", p.Severity, p.What, p.Remedy)
	}
	return written, err
}
