// Package format turns the JSON document of a published record into what other platforms read. Each format is a pure
// function of the document's bytes: nothing is looked up, and nothing is made up.
//
//	out, err := format.Traccar(document)
//
// A position is given only as far as the record has one. A record without a fix has no coordinates in any format; one
// that repeats the last known place (fix "stale") is marked as the platform marks such a thing, or has none where the
// platform keeps the last place itself.
//
// What the elements mean is taken from the document's signals, by name and with their unit; see package meaning. An
// element that none of them names keeps its id, and the number as sent. Bytes are text in hex. Faults are fault.NAME,
// so that no error code is taken for a value.
package format

// A Format turns a document into another one. Its error says what is wrong with the document.
type Format func(document []byte) ([]byte, error)

var formats = []struct {
	name string
	make Format
}{
	{"native", Native}, {"flespi", Flespi}, {"traccar", Traccar}, {"thingsboard", ThingsBoard}, {"geojson", GeoJSON},
}

// Names are the names of all formats.
func Names() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Named is the format of that name, nil if there is none.
func Named(name string) Format {
	for _, f := range formats {
		if f.name == name {
			return f.make
		}
	}
	return nil
}

// Native is the document itself, unchanged.
func Native(document []byte) ([]byte, error) {
	if _, err := parse(document); err != nil {
		return nil, err
	}
	return document, nil
}
