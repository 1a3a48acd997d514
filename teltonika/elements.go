package teltonika

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The groups of IO elements stand in the order of their value sizes. Codec 7 and 8 have ids of one byte, Codec 16 and
// Codec 8 Extended of two. A loop of its own width reads each group, with one bounds check for the whole group, because
// here is where decoding spends its time.

// narrowGroup reads a group of Group1 to Group8 with 1-byte ids, `n u8 | n × (id u8 | value)`, at offset p.
func narrowGroup(data []byte, p int, g Group, els []Element) (next int, elements []Element, ok bool) {
	if p >= len(data) {
		return 0, nil, false
	}
	n := int(data[p])
	p++
	end := p + n*(1+groupSize[g])
	if end > len(data) {
		return 0, nil, false
	}
	b, first := data[p:end], len(els)
	els = slices.Grow(els, n)[:first+n]
	out := els[first:]
	switch g {
	case Group1:
		for i := range out {
			out[i] = Element{ID: uint16(b[2*i]), Size: 1, Group: Group1, value: uint64(b[2*i+1])}
		}
	case Group2:
		for i := range out {
			e := b[3*i:][:3]
			out[i] = Element{ID: uint16(e[0]), Size: 2, Group: Group2, value: uint64(binary.BigEndian.Uint16(e[1:]))}
		}
	case Group4:
		for i := range out {
			e := b[5*i:][:5]
			out[i] = Element{ID: uint16(e[0]), Size: 4, Group: Group4, value: uint64(binary.BigEndian.Uint32(e[1:]))}
		}
	case Group8:
		for i := range out {
			e := b[9*i:][:9]
			out[i] = Element{ID: uint16(e[0]), Size: 8, Group: Group8, value: binary.BigEndian.Uint64(e[1:])}
		}
	}
	return end, els, true
}

// wideGroup reads a group of Group1 to Group8 with 2-byte ids, `n u8 or u16 | n × (id u16 | value)`, at offset p.
func wideGroup(data []byte, p, countSize int, g Group, els []Element) (next int, elements []Element, ok bool) {
	if len(data)-p < countSize {
		return 0, nil, false
	}
	n := int(data[p])
	if countSize == 2 {
		n = n<<8 | int(data[p+1])
	}
	p += countSize
	end := p + n*(2+groupSize[g])
	if end > len(data) {
		return 0, nil, false
	}
	b, first := data[p:end], len(els)
	els = slices.Grow(els, n)[:first+n]
	out := els[first:]
	switch g {
	case Group1:
		for i := range out {
			e := b[3*i:][:3]
			out[i] = Element{ID: binary.BigEndian.Uint16(e), Size: 1, Group: Group1, value: uint64(e[2])}
		}
	case Group2:
		for i := range out {
			e := b[4*i:][:4]
			out[i] = Element{ID: binary.BigEndian.Uint16(e), Size: 2, Group: Group2,
				value: uint64(binary.BigEndian.Uint16(e[2:]))}
		}
	case Group4:
		for i := range out {
			e := b[6*i:][:6]
			out[i] = Element{ID: binary.BigEndian.Uint16(e), Size: 4, Group: Group4,
				value: uint64(binary.BigEndian.Uint32(e[2:]))}
		}
	case Group8:
		for i := range out {
			e := b[10*i:][:10]
			out[i] = Element{ID: binary.BigEndian.Uint16(e), Size: 8, Group: Group8, value: binary.BigEndian.Uint64(e[2:])}
		}
	}
	return end, els, true
}

// bytesGroup reads a group whose values are bytes, of the record that begins at start: Group16 is
// `n u8 | n × (id u8 | 16 bytes)`, GroupX `n u16 | n × (id u16 | length u16 | value)`.
func bytesGroup(data []byte, p, start int, g Group, els []Element) (next int, elements []Element, ok bool) {
	countSize, head := 1, 1
	if g == GroupX {
		countSize, head = 2, 4
	}
	if len(data)-p < countSize {
		return 0, nil, false
	}
	n := int(uintOf(data[p : p+countSize]))
	p += countSize
	for range n {
		if len(data)-p < head {
			return 0, nil, false
		}
		e := Element{ID: uint16(data[p]), Size: 16, Group: g}
		if g == GroupX {
			e.ID, e.Size = binary.BigEndian.Uint16(data[p:]), binary.BigEndian.Uint16(data[p+2:])
		}
		p += head
		e.value = uint64(p - start)
		if p += int(e.Size); p > len(data) {
			return 0, nil, false
		}
		els = append(els, e)
	}
	return p, els, true
}

// appendElement appends what follows an element's id.
func appendElement(dst []byte, r *Record, e Element) []byte {
	switch e.Group {
	case Group1:
		return append(dst, byte(e.value))
	case Group2:
		return binary.BigEndian.AppendUint16(dst, uint16(e.value))
	case Group4:
		return binary.BigEndian.AppendUint32(dst, uint32(e.value))
	case Group8:
		return binary.BigEndian.AppendUint64(dst, e.value)
	case GroupX:
		dst = binary.BigEndian.AppendUint16(dst, e.Size)
	}
	return append(dst, r.Bytes(e)...)
}

// count is the number of elements that a record has in a group.
func (r *Record) count(g Group) int {
	n := 0
	for _, e := range r.Elements {
		if e.Group == g {
			n++
		}
	}
	return n
}

func groupName(g Group) string {
	if g == GroupX {
		return "variable-length"
	}
	return fmt.Sprintf("%d-byte", groupSize[g])
}
