package teltonika

// Codec 8 (vendor's page, "Codec 8"), one record:
//
//	 0            24      25      26
//	+------------+-------+-------+----------------------+---------+---------+---------+
//	| fixed part | event | total | n1 n1×(id, value 1)  | n2 ...2 | n4 ...4 | n8 ...8 |
//	+------------+-------+-------+----------------------+---------+---------+---------+
//
// Event id, total, counts and ids are one byte each.
const headSize8 = fixedSize + 2

func decode8(data []byte, p int, r *Record, els []Element) (int, []Element, *Error) {
	p, err := decodeHead8(data, p, r)
	for g := Group1; g <= Group8 && err == nil; g++ {
		p, els, err = narrowGroup(data, p, g, els)
	}
	return p, els, err
}

func decodeHead8(data []byte, p int, r *Record) (int, *Error) {
	if len(data)-p < headSize8 {
		return 0, overrunHead(data, p, headField{"event id", 1}, headField{"total elements", 1})
	}
	b := data[p : p+headSize8]
	decodeFixed(b, r)
	r.EventID = uint16(b[24])
	r.Total = uint16(b[25])
	return p + headSize8, nil
}

// decode8N16 reads the variant of old FM36 and FM4 devices, which has one more group behind the others:
// n16, n16×(id, value of 16 bytes).
func decode8N16(data []byte, p int, r *Record, els []Element) (int, []Element, *Error) {
	start := p
	p, els, err := decode8(data, p, r, els)
	if err != nil {
		return 0, nil, err
	}
	if p >= len(data) {
		return 0, nil, overrun(data, p, groupName(Group16)+" element count", 1)
	}
	n := int(data[p])
	p++
	end := p + 17*n
	if end > len(data) {
		return 0, nil, overrunElement(data, p, Group16, 1)
	}
	for ; p < end; p += 17 {
		els = append(els, Element{ID: uint16(data[p]), Size: 16, Group: Group16, value: uint64(p + 1 - start)})
	}
	return end, els, nil
}

// appendRecord8 appends a record. The elements must be of ids up to 255 and of Group1 to Group8, or to
// Group16 with n16.
func appendRecord8(dst []byte, r *Record, n16 bool) []byte {
	dst = appendFixed(dst, r)
	dst = append(dst, byte(r.EventID), byte(len(r.Elements)))
	last := Group8
	if n16 {
		last = Group16
	}
	return appendNarrowCounted(dst, 1, r, last)
}

// appendNarrowCounted appends the groups up to last, each behind a count of one byte.
func appendNarrowCounted(dst []byte, idSize int, r *Record, last Group) []byte {
	for g := Group1; g <= last; g++ {
		dst = appendNarrowGroup(dst, idSize, r, g)
	}
	return dst
}

func appendNarrowGroup(dst []byte, idSize int, r *Record, g Group) []byte {
	dst = append(dst, byte(r.count(g)))
	for _, e := range r.Elements {
		if e.Group == g {
			dst = appendElement(dst, idSize, r, e)
		}
	}
	return dst
}
