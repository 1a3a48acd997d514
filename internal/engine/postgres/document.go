package postgres

import "bytes"

// published are the fields of a record's document in the order in which they are published. A jsonb has its own order,
// and spaces; what reads records back for this program's own commands shows them as every other engine does, but for
// attributes and signals: those stay in the order of jsonb, which sorts attributes by their ids.
var published = [...]string{
	"device_id", "timestamp", "latitude", "longitude", "altitude", "angle", "speed", "satellites", "priority",
	"attributes", "event_id", "fix", "codec", "received_at", "id", "clock", "signals", "faults", "device", "dict", "raw",
}

// arrange returns the document of a jsonb's text with its fields in the order of published, without spaces. Fields of
// another program stand behind them. What is no object is returned as it is.
func arrange(text []byte) []byte {
	if len(text) < 2 || text[0] != '{' || text[1] == '}' {
		return text
	}
	var places [len(published)][]byte
	var others [][]byte
	for rest := text[1:]; len(rest) > 0; {
		end := fieldEnd(rest)
		field := bytes.TrimSpace(rest[:end])
		if at := placeOf(field); at >= 0 {
			places[at] = field
		} else {
			others = append(others, field)
		}
		if end == len(rest) || rest[end] == '}' {
			break
		}
		rest = rest[end+1:]
	}
	arranged := append(make([]byte, 0, len(text)), '{')
	for _, field := range append(places[:], others...) {
		if len(field) > 0 {
			arranged = append(appendCompact(arranged, field), ',')
		}
	}
	arranged[len(arranged)-1] = '}'
	return arranged
}

// fieldEnd is where the first field of an object's text ends: at its comma, or at the object's end.
func fieldEnd(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}'):
			return i
		case c == '}' || c == ']':
			depth--
		}
	}
	return len(text)
}

// placeOf is where the field stands in published, -1 if it does not.
func placeOf(field []byte) int {
	for i, name := range published {
		if len(field) > len(name)+2 && field[0] == '"' && field[len(name)+1] == '"' &&
			string(field[1:len(name)+1]) == name {
			return i
		}
	}
	return -1
}

// appendCompact appends JSON without the spaces between its words.
func appendCompact(dst, text []byte) []byte {
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted && c == '\\':
			dst = append(dst, c)
			i++
			c = text[i]
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			continue
		}
		dst = append(dst, c)
	}
	return dst
}
