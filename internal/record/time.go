package record

import (
	"encoding/binary"
	"time"
)

// MaxTimestamp is the latest timestamp that can be published, in ms since 1970 UTC: the end of year 9999,
// beyond which ISO 8601 has no four-digit year.
const MaxTimestamp = 253402300799999

const msPerDay = 24 * 60 * 60 * 1000

// AppendTime appends ms since 1970 UTC as ISO 8601 with milliseconds and Z. Before 1970 and beyond MaxTimestamp,
// where only a clock that is wrong can be, it appends the nearest time that is possible.
func AppendTime(dst []byte, ms int64) []byte {
	var c calendar
	return c.append(dst, possibleTime(ms))
}

func possibleTime(ms int64) int64 { return min(max(ms, 0), MaxTimestamp) }

// calendar writes times. It remembers the last day it wrote, because the records of a frame mostly share theirs.
type calendar struct {
	day        int64  // days since 1970, plus 1 so that the zero value knows no day
	yearMonth  uint64 // "2006-01-"
	dayOfMonth token  // "02T"
}

// A part of a time is written as one decimal number whose zeros fall on what is not a digit, and which is then
// added to a template: 15:04:05 is 15004005 + "00:00:00", byte by byte.
var (
	yearMonthZeros  = word("0000-00-")
	dayOfMonthZeros = newToken("00T")
	clockZeros      = word("00:00:00")
	milliZeros      = newToken(".000Z")
)

// append appends ms since 1970 UTC, 0 to MaxTimestamp, as ISO 8601 with milliseconds and Z.
func (c *calendar) append(dst []byte, ms int64) []byte {
	if day := ms / msPerDay; c.day != day+1 {
		c.setDay(day)
	}
	inDay := uint32(ms % msPerDay)
	seconds, milli := inDay/1000, inDay%1000
	clock := seconds/3600*1_000_000 + seconds/60%60*1000 + seconds%60
	dst = binary.LittleEndian.AppendUint64(dst, c.yearMonth)
	dst = c.dayOfMonth.append(dst)
	dst = binary.LittleEndian.AppendUint64(dst, digits8(clock)+clockZeros)
	return (token(digits8(milli)>>32) + milliZeros).append(dst) // the last four of eight digits
}

func (c *calendar) setDay(day int64) {
	year, month, dayOfMonth := time.UnixMilli(day * msPerDay).UTC().Date()
	c.day = day + 1
	c.yearMonth = digits8(uint32(year)*10_000+uint32(month)*10) + yearMonthZeros
	c.dayOfMonth = token(digits8(uint32(dayOfMonth))>>48) + dayOfMonthZeros // the last two
}
