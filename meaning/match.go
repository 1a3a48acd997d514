package meaning

import (
	"fmt"
	"strings"
)

// matchKind says which devices an override is for. A later kind wins over an earlier one.
type matchKind uint8

const (
	matchAll matchKind = iota
	matchFamily
	matchModel
	matchPrefix // of an IMEI; the longer one wins
	matchIMEI
)

type match struct {
	kind matchKind
	text string // family, model, prefix or IMEI
}

// String is the match as a file of overrides has it.
func (m match) String() string {
	switch m.kind {
	case matchFamily:
		return "family:" + m.text
	case matchModel:
		return "model:" + m.text
	case matchPrefix:
		return "imei:" + m.text + "*"
	case matchIMEI:
		return "imei:" + m.text
	}
	return "*"
}

// parseMatch reads what a row matches.
func parseMatch(s string) (match, error) {
	if s == "*" {
		return match{kind: matchAll}, nil
	}
	kind, text, _ := strings.Cut(s, ":")
	switch kind {
	case "family":
		f, err := ParseFamily(text)
		return match{matchFamily, f.String()}, err
	case "model":
		if text = strings.ToUpper(text); text != "" && isModel(text) {
			return match{matchModel, text}, nil
		}
	case "imei":
		prefix, open := strings.CutSuffix(text, "*")
		if prefix != "" && isIMEI(prefix) {
			if open {
				return match{matchPrefix, prefix}, nil
			}
			return match{matchIMEI, prefix}, nil
		}
	}
	return match{}, fmt.Errorf("%.100q is none of imei:IMEI, imei:PREFIX*, model:MODEL, family:FAMILY, *", s)
}

// isIMEI reports whether s may name a device, or begin its name: letters and digits.
func isIMEI(s string) bool {
	return len(s) <= 64 &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}
