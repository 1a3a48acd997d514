package redecode

import (
	"bytes"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
)

// with is the record's document with other members in place of those that say what elements mean.
func with(r *stored.Record, meaning []byte) []byte {
	out := []byte{'{'}
	raw := -1
	for i, m := range r.Members {
		switch m.Key {
		case "signals", "faults", "device", "dict":
			continue
		case "raw":
			raw = i
			continue
		}
		out = appendMember(out, m)
	}
	if len(out) == 1 {
		meaning = bytes.TrimPrefix(meaning, []byte(","))
	}
	out = append(out, meaning...)
	if raw >= 0 {
		out = appendMember(out, r.Members[raw])
	}
	return append(out, '}')
}

func appendMember(dst []byte, m stored.Member) []byte {
	if len(dst) > 1 {
		dst = append(dst, ',')
	}
	return append(append(append(dst, m.Name...), ':'), m.Value...)
}
