package mqttsink

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
)

// A topic has 65,535 bytes at the most: the template, and what is filled in at so many places as fit into it, each byte
// of it as three.
const (
	maxTemplate = 1024
	maxValue    = 128
)

// template is a topic with places for what a record says.
type template []piece

// piece is a fixed text, or what it takes from a record.
type piece struct {
	text string
	take func(*forward.Item) string
}

var fields = map[string]func(*forward.Item) string{
	"device_id": func(i *forward.Item) string { return i.DeviceID },
	"codec":     func(i *forward.Item) string { return i.Codec },
	"family":    func(i *forward.Item) string { return i.Family },
}

func parseTemplate(text string) (t template, err error) {
	switch {
	case text == "" || len(text) > maxTemplate:
		return nil, fmt.Errorf("use 1 to %d bytes", maxTemplate)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, isControl):
		return nil, errors.New("use UTF-8 without control characters")
	case strings.ContainsAny(text, "+#"):
		return nil, errors.New("leave out + and #, which only subscriptions have")
	case text[0] == '$':
		return nil, errors.New("topics that begin with $ are the broker's own")
	}
	for rest := text; rest != ""; {
		before, after, open := strings.Cut(rest, "{")
		if before != "" {
			t = append(t, piece{text: before})
		}
		if !open {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		take, known := fields[name]
		if !closed || !known {
			return nil, errors.New("the places to fill in are {device_id}, {codec} and {family}")
		}
		t, rest = append(t, piece{take: take}), after
	}
	return t, nil
}

func isControl(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }

// topic is that of a record.
func (t template) topic(item *forward.Item) string {
	var b strings.Builder
	for _, p := range t {
		if p.take == nil {
			b.WriteString(p.text)
			continue
		}
		appendLevel(&b, p.take(item))
	}
	return b.String()
}

// unknown stands for what a record does not say: an empty level would look like a mistake.
const unknown = "unknown"

// appendLevel escapes what a device may have a say in, so that it stays one level, and never a wildcard or the broker's
// own: all but letters, digits, dot, hyphen and underscore of ASCII as in a URL.
func appendLevel(b *strings.Builder, value string) {
	if value == "" {
		value = unknown
	}
	for _, c := range []byte(value[:min(len(value), maxValue)]) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if letter || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(b, "%%%02X", c)
		}
	}
}
