package teltonika

import "fmt"

// Codec is the codec id, the first byte of the data field.
type Codec byte

// The codecs in use.
const (
	Codec7  Codec = 0x07 // GH1201, GH3000, GH4000 and other personal trackers
	Codec8  Codec = 0x08
	Codec12 Codec = 0x0C // commands and answers, both directions
	Codec13 Codec = 0x0D // device to server, with a timestamp
	Codec14 Codec = 0x0E // commands and answers that carry the IMEI
	Codec15 Codec = 0x0F // device to server, with timestamp and IMEI
	Codec16 Codec = 0x10
	Codec8E Codec = 0x8E // Codec 8 Extended
)

// String is the codec's name as the vendor writes it ("8", "8E", "16"), or its id in hex ("0x61").
func (c Codec) String() string {
	switch c {
	case Codec7:
		return "7"
	case Codec8:
		return "8"
	case Codec12:
		return "12"
	case Codec13:
		return "13"
	case Codec14:
		return "14"
	case Codec15:
		return "15"
	case Codec16:
		return "16"
	case Codec8E:
		return "8E"
	}
	return fmt.Sprintf("0x%02x", byte(c))
}

// IsAVL reports whether [AVLData] decodes the codec: 7, 8, 8 Extended and 16.
func (c Codec) IsAVL() bool { return c == Codec8 || c == Codec8E || c == Codec16 || c == Codec7 }

// IsMessage reports whether [Messages] decodes the codec: 12 to 15. A frame of these is never
// answered with a number of records.
func (c Codec) IsMessage() bool { return c >= Codec12 && c <= Codec15 }
