package meaning

import "fmt"

// Width is how many bytes an element was sent in. The values are in the order of the groups on the wire, so that
// meaning.Width(element.Group) is the width of a teltonika.Element.
type Width uint8

// The widths. The dictionary has nothing of Width16.
const (
	Width1  Width = iota
	Width2        // 2 bytes
	Width4        // 4 bytes
	Width8        // 8 bytes
	Width16       // 16 bytes, old devices only
	WidthX        // with a length of its own

	widths = iota
)

var widthNames = [widths]string{"1", "2", "4", "8", "16", "x"}

// String is the width as in the dictionary: "1", "2", "4", "8" or "x".
func (w Width) String() string {
	if int(w) >= widths {
		return fmt.Sprintf("Width(%d)", uint8(w))
	}
	return widthNames[w]
}

// Size is the number of bytes, 0 for WidthX.
func (w Width) Size() int {
	if w > Width16 {
		return 0
	}
	return 1 << w
}

// ParseWidth is the width that String gives: 1, 2, 4, 8 or x.
func ParseWidth(s string) (Width, error) {
	for w, name := range widthNames {
		if s == name && Width(w) != Width16 {
			return Width(w), nil
		}
	}
	return 0, fmt.Errorf("no width %.100q: it is 1, 2, 4, 8 or x", s)
}

// pair is an element id and a width: what a family knows or does not know.
type pair uint32

func newPair(id uint16, w Width) pair { return pair(id)<<3 | pair(w) }

func (p pair) id() uint16   { return uint16(p >> 3) }
func (p pair) width() Width { return Width(p & 7) }
