package record

// A device whose clock is wrong sends records of times that were not. What can be told from the record and its receipt
// stands behind the id: the record is published all the same.

const (
	// earliestClock is 2010-01-01, before which no device of these was. Without time they send 1970, 2000 or 2004.
	earliestClock = 1262304000000
	// clockAhead is how many ms a device's clock may be ahead of ours.
	clockAhead = 10 * 60 * 1000
)

// ClockOf is what is wrong with a record's time: future, unset, or empty if nothing is. Both are in ms since 1970.
func ClockOf(timestamp uint64, received int64) string {
	switch {
	case timestamp < earliestClock:
		return "unset"
	case int64(timestamp) > received+clockAhead:
		return "future"
	}
	return ""
}

// appendClock appends what is wrong with a record's time, if anything is.
func appendClock(dst []byte, timestamp uint64, received int64) []byte {
	if clock := ClockOf(timestamp, received); clock != "" {
		dst = append(dst, `,"clock":"`...)
		dst = append(dst, clock...)
		dst = append(dst, '"')
	}
	return dst
}
