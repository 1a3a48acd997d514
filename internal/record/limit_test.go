package record

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// limit is what the path from a frame to its documents costs at the least: it verifies the CRC, walks over the
// wire bytes and writes the documents straight from them. It writes the same bytes as the encoder (TestLimit), but
// only because the benchmarks' frames are what it takes for granted: well-formed Codec 8 or 8 Extended, ids below
// 1000 and none twice in a record, a buffer that is large enough. It has no decoded structure, no search for
// repeated ids, no Document and, through unsafe, hardly a bounds check. What it shares with the encoder is the
// making of digits.
type limit struct {
	buffer  []byte
	out     unsafe.Pointer // to buffer
	head    string
	tail    [2]string // before and behind received_at
	keys    [1000]token
	small   [1000]token
	day     int64
	scratch [32]byte
	date    [24]byte
	wide    bool
	// received_at is written anew for each frame; its date does not change
	received     int64
	receivedDate [24]byte
}

func newLimit(o Origin) *limit {
	l := &limit{buffer: make([]byte, 1<<20), received: o.Received.UnixMilli(), day: -1}
	copy(l.receivedDate[:], referenceTime(l.received))
	l.out = unsafe.Pointer(&l.buffer[0])
	l.head = `{"device_id":"` + o.DeviceID + `","timestamp":"`
	l.tail = [2]string{`,"received_at":"`, `","id":"` + o.DeviceID + "-"}
	for n := range l.keys {
		l.keys[n] = newToken(`,"` + strconv.Itoa(n) + `":`)
		l.small[n] = newToken(strconv.Itoa(n))
	}
	return l
}

// frame returns the size of the documents, which stand at the buffer's start.
func (l *limit) frame(f teltonika.Frame) int {
	if teltonika.CRC(f.Body()) != binary.BigEndian.Uint16(f[len(f)-2:]) {
		panic("wrong CRC")
	}
	body := f.Body()
	l.wide = f.Codec() == teltonika.Codec8E
	var received [24]byte
	l.clock(0, l.receivedDate, l.received)
	copy(received[:], l.buffer)
	in, p := 2, 0
	for range body[1] {
		in, p = l.record(body, in, p, &received)
	}
	return p
}

func (l *limit) store(p int, w uint64) { *(*uint64)(unsafe.Add(l.out, p)) = w }

func (l *limit) text(p int, s string) int {
	copy((*[1 << 16]byte)(unsafe.Add(l.out, p))[:len(s)], s)
	return p + len(s)
}

func (l *limit) token(p int, t token) int {
	l.store(p, uint64(t))
	return p + int(t>>56)
}

func be16(b unsafe.Pointer, i int) uint64 {
	return uint64(bits.ReverseBytes16(*(*uint16)(unsafe.Add(b, i))))
}
func be32(b unsafe.Pointer, i int) uint64 {
	return uint64(bits.ReverseBytes32(*(*uint32)(unsafe.Add(b, i))))
}
func be64(b unsafe.Pointer, i int) uint64 { return bits.ReverseBytes64(*(*uint64)(unsafe.Add(b, i))) }

func (l *limit) record(body []byte, in, p int, received *[24]byte) (int, int) {
	b := unsafe.Pointer(&body[in])
	p = l.text(p, l.head)
	ms := be64(b, 0)
	p = l.time(p, int64(ms))
	latitude, longitude, satellites := int32(be32(b, 13)), int32(be32(b, 9)), *(*uint8)(unsafe.Add(b, 21))
	p = l.degrees(l.text(p, `","latitude":`), latitude)
	p = l.degrees(l.text(p, `,"longitude":`), longitude)
	p = l.text(p, `,"altitude":`)
	altitude := int16(be16(b, 17))
	if altitude < 0 {
		p = l.text(p, "-")
		altitude = -altitude
	}
	p = l.uint(p, uint64(altitude))
	p = l.uint(l.text(p, `,"angle":`), be16(b, 19))
	p = l.uint(l.text(p, `,"speed":`), be16(b, 22))
	p = l.token(l.text(p, `,"satellites":`), l.small[satellites])
	p = l.token(l.text(p, `,"priority":`), l.small[*(*uint8)(unsafe.Add(b, 8))])
	p = l.text(p, `,"attributes":`)
	first := p
	var size int
	var event uint64
	if l.wide {
		event = be16(b, 24)
		size, p = l.wideGroups(b, p)
	} else {
		event = uint64(*(*uint8)(unsafe.Add(b, 24)))
		size, p = l.narrowGroups(b, p)
	}
	if p == first {
		p++
	}
	l.buffer[first] = '{'
	p = l.uint(l.text(p, `},"event_id":`), event)
	fix := FixOf(&teltonika.Record{Latitude: latitude, Longitude: longitude, Satellites: satellites})
	p = l.text(l.text(p, `,"fix":"`), string(fix))
	if l.wide {
		p = l.text(p, `","codec":"8E"`)
	} else {
		p = l.text(p, `","codec":"8"`)
	}
	p = l.text(p, l.tail[0])
	*(*[24]byte)(unsafe.Add(l.out, p)) = *received
	p = l.text(p+24, l.tail[1])
	p = l.uint(p, ms/1e8)
	l.store(p, digits8(uint32(ms%1e8))+zeros)
	p = l.text(p+8, "-")
	hash := xxhash.Sum64(body[in : in+size])
	l.store(p, bits.ReverseBytes64(hex8(uint32(hash>>32))))
	l.store(p+8, bits.ReverseBytes64(hex8(uint32(hash))))
	p = l.text(p+16, `"`)
	if ms < 1262304000000 {
		p = l.text(p, `,"clock":"unset"`)
	}
	return in + size, l.text(p, `}`)
}

func (l *limit) narrowGroups(b unsafe.Pointer, p int) (size, next int) {
	in := 27
	for range *(*uint8)(unsafe.Add(b, in-1)) {
		p = l.token(p, l.keys[*(*uint8)(unsafe.Add(b, in))])
		p = l.token(p, l.small[*(*uint8)(unsafe.Add(b, in+1))])
		in += 2
	}
	in++
	for range *(*uint8)(unsafe.Add(b, in-1)) {
		p = l.token(p, l.keys[*(*uint8)(unsafe.Add(b, in))])
		if v := be16(b, in+1); v < 1000 {
			p = l.token(p, l.small[v])
		} else {
			p = l.long(p, v)
		}
		in += 3
	}
	in++
	for range *(*uint8)(unsafe.Add(b, in-1)) {
		p = l.token(p, l.keys[*(*uint8)(unsafe.Add(b, in))])
		if v := be32(b, in+1); v < 1000 {
			p = l.token(p, l.small[v])
		} else {
			p = l.long(p, v)
		}
		in += 5
	}
	in++
	for range *(*uint8)(unsafe.Add(b, in-1)) {
		p = l.bigint(l.token(p, l.keys[*(*uint8)(unsafe.Add(b, in))]), be64(b, in+1))
		in += 9
	}
	return in, p
}

func (l *limit) wideGroups(b unsafe.Pointer, p int) (size, next int) {
	in := 30
	for range be16(b, in-2) {
		p = l.token(p, l.keys[be16(b, in)])
		p = l.token(p, l.small[*(*uint8)(unsafe.Add(b, in+2))])
		in += 3
	}
	in += 2
	for range be16(b, in-2) {
		p = l.token(p, l.keys[be16(b, in)])
		if v := be16(b, in+2); v < 1000 {
			p = l.token(p, l.small[v])
		} else {
			p = l.long(p, v)
		}
		in += 4
	}
	in += 2
	for range be16(b, in-2) {
		p = l.token(p, l.keys[be16(b, in)])
		if v := be32(b, in+2); v < 1000 {
			p = l.token(p, l.small[v])
		} else {
			p = l.long(p, v)
		}
		in += 6
	}
	in += 2
	for range be16(b, in-2) {
		p = l.bigint(l.token(p, l.keys[be16(b, in)]), be64(b, in+2))
		in += 10
	}
	in += 2
	for range be16(b, in-2) {
		value := unsafe.Slice((*byte)(unsafe.Add(b, in+4)), be16(b, in+2))
		p = l.text(l.token(p, l.keys[be16(b, in)]), `{"__buffer_b64":"`)
		base64.StdEncoding.Encode(l.buffer[p:], value)
		p = l.text(p+base64.StdEncoding.EncodedLen(len(value)), `"}`)
		in += 4 + len(value)
	}
	return in, p
}

func (l *limit) uint(p int, n uint64) int {
	if n < 1000 {
		return l.token(p, l.small[n])
	}
	return l.long(p, n)
}

func (l *limit) long(p int, n uint64) int {
	if n >= 1e8 {
		p = l.uint(p, n/1e8)
		l.store(p, digits8(uint32(n%1e8))+zeros)
		return p + 8
	}
	d := digits8(uint32(n))
	leading := bits.TrailingZeros64(d) / 8
	l.store(p, (d+zeros)>>(8*leading))
	return p + 8 - leading
}

func (l *limit) bigint(p int, n uint64) int {
	return l.text(l.uint(l.text(p, `{"__bigint":"`), n), `"}`)
}

func (l *limit) degrees(p int, n int32) int {
	v := uint32(n)
	if n < 0 {
		p = l.text(p, "-")
		v = -v
	}
	p = l.token(p, l.small[v/10_000_000])
	d := digits8(v % 10_000_000)
	if d == 0 {
		return p
	}
	l.store(p, d+pointZeros)
	return p + 8 - bits.LeadingZeros64(d)/8
}

func (l *limit) time(p int, ms int64) int {
	if day := ms / msPerDay; day != l.day {
		l.day = day
		copy(l.date[:], AppendTime(l.scratch[:0], ms))
	}
	return l.clock(p, l.date, ms)
}

func (l *limit) clock(p int, date [24]byte, ms int64) int {
	*(*[24]byte)(unsafe.Add(l.out, p)) = date
	rest := uint32(ms % msPerDay)
	second, milli := rest/1000, rest%1000
	l.store(p+11, digits8(second/3600*1_000_000+second/60%60*1000+second%60)+clockZeros)
	l.store(p+19, digits8(milli)>>32+uint64(milliZeros))
	return p + 24
}
