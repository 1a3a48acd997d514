package meaning

import (
	"fmt"
	"slices"
)

// Type says how an element's bytes become a value.
type Type uint8

// The types. In JSON, Number, Bool and Epoch are numbers or booleans, Flags is a list of words, all others are strings.
const (
	Number  Type = iota // raw × multiplier + offset, printed exactly; a string where a 64-bit float would not be exact
	Bool                // false and true; any other number as it is
	Enum                // a word for each number
	Flags               // the words of the bits that are set; of several bits "word:number"
	Hex                 // the bytes in hexadecimal digits
	Text                // Latin-1, without the zeros and spaces at its end
	ROM                 // an identifier, 16 hexadecimal digits as sent; 0 is a fault: nothing is there
	Mirror8             // text that is sent backwards
	ASCII8              // text without the zeros at its end
	Decimal             // an identifier of decimal digits: a string
	Epoch               // s since 1970 UTC
	Beacons             // bytes in hexadecimal digits: a list of beacons
	Tags                // bytes in hexadecimal digits: a list of tags

	types = iota
)

var typeNames = [types]string{
	"number", "bool", "enum", "flags", "hex", "text", "rom", "mirror8", "ascii8", "decimal", "epoch", "beacons", "tags",
}

// String is the type as in the dictionary.
func (t Type) String() string {
	if int(t) >= types {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return typeNames[t]
}

// Confidence says how well a definition is founded.
type Confidence uint8

// The confidences, the best first.
const (
	OwnDefinition Confidence = iota // the user's, by an override
	TwoSources                      // two independent sources agree
	Vendor                          // the vendor's list alone
	Old                             // an older list of the vendor's, of ids that it has given up
	Doubtful                        // the sources contradict themselves: its values are never given

	confidences = iota
)

var confidenceNames = [confidences]string{"own", "two", "vendor", "old", "doubtful"}

// String is the confidence as in the dictionary.
func (c Confidence) String() string {
	if int(c) >= confidences {
		return fmt.Sprintf("Confidence(%d)", uint8(c))
	}
	return confidenceNames[c]
}

// Definition is one row of the dictionary: what an element of this id and width means on some families.
type Definition struct {
	ID         uint16
	Width      Width
	Name       string // lower-case words with dots, at most MaxName bytes
	Title      string // the vendor's name of the element
	Type       Type
	Signed     bool   // the number is in two's complement
	Multiplier string // decimal; empty is 1
	Offset     string // decimal, added after the multiplication; empty is 0
	Unit       string
	Min, Max   string // what the vendor says of the range, sometimes raw, sometimes scaled
	Enum       []Word
	Flags      []Bits
	Invalid    []Invalid
	Families   []Family
	Models     []string // the only models that it is for; none: all of the families
	Confidence Confidence

	ImpliedMultiplier string // what the range implies where the vendor gives no multiplier; not used
	Group             string // the vendor's heading
	Note              string
	Source            string // names of lists, with spaces between
}

// MaxName is the longest name in bytes.
const MaxName = 64

// Word is what a number of an Enum stands for.
type Word struct {
	Number int64
	Text   string
}

// Bits is what bits of Flags stand for, both inclusive, 0 the lowest of the big-endian number.
type Bits struct {
	Low, High uint8
	Text      string
}

// Invalid is a raw number that is no reading but an error code.
type Invalid struct {
	Number int64
	Reason string
	Legacy bool // only where the old scale applies; see Identity.Firmware
}

// For reports whether the definition is for a model of its families; an empty model is not listed by any.
func (d *Definition) For(model string) bool {
	return len(d.Models) == 0 || slices.Contains(d.Models, model)
}
