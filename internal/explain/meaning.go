package explain

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// meanings say what the bytes of the fields mean, by the library's names.
var meanings = map[string]func([]byte) string{
	"codec id":         func(b []byte) string { return codecName(teltonika.Codec(b[0])) },
	"number of data 1": number,

	"timestamp":       milliseconds,
	"priority":        priority,
	"longitude":       degrees,
	"latitude":        degrees,
	"altitude":        metres,
	"angle":           func(b []byte) string { return number(b) + "°" },
	"satellites":      number,
	"speed":           kmh,
	"generation type": generationType,
	"total elements":  number,

	"type":    messageType,
	"size":    byteCount,
	"IMEI":    imeiDigits,
	"payload": text,
}

// uintOf is the big-endian number of up to 8 bytes.
func uintOf(b []byte) uint64 {
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// intOf is the big-endian two's complement number of 1 to 8 bytes.
func intOf(b []byte) int64 {
	shift := 64 - 8*len(b)
	return int64(uintOf(b)<<shift) >> shift
}

func number(b []byte) string       { return strconv.FormatUint(uintOf(b), 10) }
func signedNumber(b []byte) string { return strconv.FormatInt(intOf(b), 10) }
func metres(b []byte) string       { return signedNumber(b) + " m" }
func kmh(b []byte) string          { return number(b) + " km/h" }
func byteCount(b []byte) string    { return plural(int(uintOf(b)), "byte") }
func pattern(b []byte) string      { return "0x" + hex.EncodeToString(b) }

// text is the bytes as quoted text if they look like text, else their number. What cannot be printed is escaped.
func text(b []byte) string {
	if _, ok := terminal.Text(b); ok {
		return strconv.Quote(string(b))
	}
	if len(b) == 0 {
		return "empty"
	}
	return plural(len(b), "byte")
}

// lastTimestamp is the last millisecond of the year 9999, the last that ISO 8601 can write.
const lastTimestamp = 253402300799999

func milliseconds(b []byte) string {
	ms := uintOf(b)
	switch {
	case ms > lastTimestamp:
		return fmt.Sprintf("%d ms, after the year 9999: the record is stored as a dead letter", ms)
	case ms == 0:
		return isoTime(ms) + " (0: the device does not know the time)"
	}
	return fmt.Sprintf("%s (%d ms)", isoTime(ms), ms)
}

func seconds(b []byte) string {
	s := uintOf(b)
	return fmt.Sprintf("%s (%d s)", isoTime(1000*s), s)
}

// imeiDigits reads an IMEI of two digits a byte; one of 15 digits has a zero before it.
func imeiDigits(b []byte) string { return strings.TrimPrefix(hex.EncodeToString(b), "0") }

func isoTime(ms uint64) string {
	return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02T15:04:05.000Z")
}

func priority(b []byte) string {
	names := []string{"low", "high", "panic"}
	if int(b[0]) < len(names) {
		return fmt.Sprintf("%d (%s)", b[0], names[b[0]])
	}
	return fmt.Sprintf("%d (not defined, kept as sent)", b[0])
}

// degrees prints a coordinate in 1e-7 degree exactly.
func degrees(b []byte) string {
	v := intOf(b)
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	return fmt.Sprintf("%s%d.%07d°", sign, v/1e7, v%1e7)
}

// fixMeaning says what the position in the head of a record is worth: a device without a fix repeats its last place, or
// sends zeros.
func fixMeaning(head []byte) string {
	longitude, latitude, satellites := intOf(head[9:13]), intOf(head[13:17]), head[21]
	switch {
	case longitude < -180e7 || longitude > 180e7 || latitude < -90e7 || latitude > 90e7:
		return "none (off the globe)"
	case satellites > 0:
		return "ok"
	case longitude == 0 && latitude == 0:
		return "none (no satellites)"
	}
	return "stale (no satellites: the last known place)"
}

func generationType(b []byte) string {
	names := []string{"on exit", "on entrance", "on both", "reserved", "hysteresis", "on change", "eventual", "periodical"}
	if int(b[0]) < len(names) {
		return fmt.Sprintf("%d (%s)", b[0], names[b[0]])
	}
	return fmt.Sprintf("%d (not defined, kept as sent)", b[0])
}

func messageType(b []byte) string {
	switch b[0] {
	case teltonika.TypeCommand:
		return "5 (command)"
	case teltonika.TypeResponse:
		return "6 (response)"
	case teltonika.TypeCamera:
		return "13 (camera)"
	case teltonika.TypeNack:
		return "17 (refused: the IMEI is not the device's)"
	}
	return number(b)
}

func groupMeaning(g teltonika.Group) string {
	switch g {
	case teltonika.Group1:
		return "of 1 byte"
	case teltonika.Group16:
		return "of 16 bytes"
	case teltonika.GroupX:
		return "of variable length"
	}
	return fmt.Sprintf("of %d bytes", 1<<g)
}
