package meaning

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// columns are the dictionary's, in their order.
var columns = []string{
	"id", "width", "name", "title", "type", "signed", "multiplier", "offset", "unit", "min", "max", "enum", "flags",
	"invalid", "families", "models", "confidence", "implied_multiplier", "group", "note", "source",
}

// fieldError is what is wrong in one column of a row.
type fieldError struct {
	column string
	err    error
}

func (e *fieldError) Error() string { return fmt.Sprintf("column %s: %v", e.column, e.err) }

func (e *fieldError) Unwrap() error { return e.err }

// row gives the fields of a line by column, and keeps the first thing that is wrong.
type row struct {
	field func(column string) string
	err   *fieldError
}

// read lets f look at a column's field. Only the first error is kept.
func (r *row) read(column string, f func(field string) error) {
	if r.err != nil {
		return
	}
	if err := f(r.field(column)); err != nil {
		r.err = &fieldError{column, err}
	}
}

// definition reads a definition but for its families, models and confidence.
func (r *row) definition() (d Definition) {
	r.read("id", func(s string) error {
		id, err := strconv.ParseUint(s, 10, 16)
		d.ID = uint16(id)
		return noNumber(err, s, "0 to 65535")
	})
	r.read("width", func(s string) (err error) { d.Width, err = ParseWidth(s); return err })
	r.read("name", func(s string) error { d.Name = s; return checkName(s) })
	r.read("type", func(s string) error { return parseNamed(s, typeNames[:], &d.Type) })
	r.read("signed", func(s string) error {
		d.Signed = s == "1"
		return oneOf(s, "", "0", "1")
	})
	r.read("multiplier", func(s string) error { d.Multiplier = s; return checkMultiplier(s) })
	r.read("offset", func(s string) error {
		d.Offset = s
		_, err := parseDecimalOr(s, "0")
		return err
	})
	r.read("unit", func(s string) error { d.Unit = s; return checkPlain(s, 16) })
	r.read("enum", func(s string) (err error) { d.Enum, err = parseEnum(s, &d); return err })
	r.read("flags", func(s string) (err error) { d.Flags, err = parseFlags(s, &d); return err })
	r.read("invalid", func(s string) (err error) { d.Invalid, err = parseInvalid(s, &d); return err })
	for _, text := range []struct {
		column string
		field  *string
	}{{"title", &d.Title}, {"min", &d.Min}, {"max", &d.Max}, {"implied_multiplier", &d.ImpliedMultiplier},
		{"group", &d.Group}, {"note", &d.Note}, {"source", &d.Source}} {
		r.read(text.column, func(s string) error { *text.field = s; return checkPlain(s, 256) })
	}
	return d
}

func noNumber(err error, s, what string) error {
	if err != nil {
		return fmt.Errorf("%.100q is no number of %s", s, what)
	}
	return nil
}

func oneOf(s string, may ...string) error {
	if !slices.Contains(may, s) {
		return fmt.Errorf("%.100q is none of %q", s, may)
	}
	return nil
}

func parseNamed[T ~uint8](s string, names []string, to *T) error {
	i := slices.Index(names, s)
	if i < 0 {
		return fmt.Errorf("%.100q is none of %s", s, strings.Join(names, ", "))
	}
	*to = T(i)
	return nil
}

// checkName checks a name: words of lower-case letters and digits with dots between them.
func checkName(s string) error {
	if len(s) > MaxName {
		return fmt.Errorf("%.100q is longer than %d bytes", s, MaxName)
	}
	for word := range strings.SplitSeq(s, ".") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return fmt.Errorf("%q is not made of lower-case letters and digits with dots between them", s)
		}
	}
	return nil
}

// checkWord checks a word or a reason: what stands in the record as a value.
func checkWord(s string) error {
	if s == "" || len(s) > MaxName || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("%.100q is not made of at most %d lower-case letters, digits and _", s, MaxName)
	}
	return nil
}

// checkPlain checks a text for people.
func checkPlain(s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("longer than %d bytes", most)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q has bytes that are no text", s)
	}
	return nil
}

func parseDecimalOr(s, otherwise string) (decimal, error) {
	if s == "" {
		s = otherwise
	}
	return parseDecimal(s)
}

func checkMultiplier(s string) error {
	d, err := parseDecimalOr(s, "1")
	if err == nil && d.coefficient <= 0 {
		err = fmt.Errorf("%.100q is not above 0", s)
	}
	return err
}

// bits is how many bits a number of the element has at most.
func (d *Definition) bits() int {
	if d.Width == WidthX {
		return 64
	}
	return 8 * d.Width.Size()
}

// parseNumber reads a raw number that the element can have.
func (d *Definition) parseNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	low, high := int64(0), int64(-1)
	switch bits := d.bits(); {
	case d.Signed:
		low, high = -1<<(bits-1), 1<<(bits-1)-1
	case bits < 64:
		high = 1<<bits - 1
	default:
		high = 1<<63 - 1
	}
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%.100q is no number of %d to %d, which the width and the sign allow", s, low, high)
	}
	return n, nil
}

// parts splits "a|b", of which there may be few.
func parts(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	all := strings.Split(s, "|")
	if len(all) > 256 {
		return nil, fmt.Errorf("%d parts, at most 256", len(all))
	}
	return all, nil
}

func parseEnum(s string, d *Definition) (words []Word, err error) {
	all, err := parts(s)
	if err == nil && (len(all) > 0) != (d.Type == Enum) {
		err = fmt.Errorf("words belong to the type enum, and it needs some")
	}
	for _, part := range all {
		number, word, _ := strings.Cut(part, "=")
		n, bad := d.parseNumber(number)
		if err = firstError(err, bad, checkWord(word)); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(words, func(w Word) bool { return w.Number == n }) {
			return nil, fmt.Errorf("%d is there twice", n)
		}
		words = append(words, Word{n, word})
	}
	return words, err
}

func parseFlags(s string, d *Definition) (flags []Bits, err error) {
	all, err := parts(s)
	if err == nil && (len(all) > 0) != (d.Type == Flags) {
		err = fmt.Errorf("bits belong to the type flags, and it needs some")
	}
	for _, part := range all {
		place, word, _ := strings.Cut(part, "=")
		lowest, highest, several := strings.Cut(place, "-")
		if !several {
			highest = lowest
		}
		low, bad1 := strconv.ParseUint(lowest, 10, 8)
		high, bad2 := strconv.ParseUint(highest, 10, 8)
		if err = firstError(err, bad1, bad2, checkWord(word)); err != nil {
			return nil, err
		}
		if low > high || int(high) >= d.bits() {
			return nil, fmt.Errorf("%q: no bits %s of %d", part, place, d.bits())
		}
		flags = append(flags, Bits{uint8(low), uint8(high), word})
	}
	return flags, err
}

func parseInvalid(s string, d *Definition) (invalid []Invalid, err error) {
	all, err := parts(s)
	for _, part := range all {
		number, reason, _ := strings.Cut(part, ":")
		number, legacy := strings.CutSuffix(number, "?")
		n, bad := d.parseNumber(number)
		if err = firstError(err, bad, checkWord(reason)); err != nil {
			return nil, err
		}
		invalid = append(invalid, Invalid{n, reason, legacy})
	}
	return invalid, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
