package record

import (
	"bytes"
	"math"
	"testing"
	"time"
)

// TestEveryDay compares each day from 1970 to 9999 with package time, at another time of day each.
func TestEveryDay(t *testing.T) {
	var c calendar
	var got, want []byte
	for day := int64(0); day*msPerDay <= MaxTimestamp; day++ {
		ms := day*msPerDay + day*7919%msPerDay
		got = c.append(got[:0], ms)
		want = time.UnixMilli(ms).UTC().AppendFormat(want[:0], "2006-01-02T15:04:05.000Z")
		if !bytes.Equal(got, want) {
			t.Fatalf("%d ms is %s, expected %s", ms, got, want)
		}
	}
	if end := time.Date(10000, time.January, 1, 0, 0, 0, 0, time.UTC); end.UnixMilli() != MaxTimestamp+1 {
		t.Errorf("year 10000 begins at %d, expected MaxTimestamp+1", end.UnixMilli())
	}
}

// TestDaysInAnyOrder: the remembered day is used for its own times only.
func TestDaysInAnyOrder(t *testing.T) {
	var c calendar
	for _, ms := range []int64{
		0, msPerDay - 1, msPerDay, msPerDay - 1, 0, MaxTimestamp, MaxTimestamp - msPerDay, 0, 1560161086000, 0,
	} {
		if got, want := string(c.append(nil, ms)), referenceTime(ms); got != want {
			t.Errorf("%d ms is %s, expected %s", ms, got, want)
		}
	}
}

func TestEveryTimeOfDay(t *testing.T) {
	var got []byte
	for second := range int64(86400) {
		ms := 1560124800000 + second*1000 + second%1000
		if got = AppendTime(got[:0], ms); string(got) != referenceTime(ms) {
			t.Fatalf("%d ms is %s, expected %s", ms, got, referenceTime(ms))
		}
	}
}

func TestAppendTimeOutOfRange(t *testing.T) {
	for ms, want := range map[int64]string{
		-1:               "1970-01-01T00:00:00.000Z",
		math.MinInt64:    "1970-01-01T00:00:00.000Z",
		MaxTimestamp:     "9999-12-31T23:59:59.999Z",
		MaxTimestamp + 1: "9999-12-31T23:59:59.999Z",
		math.MaxInt64:    "9999-12-31T23:59:59.999Z",
	} {
		if got := string(AppendTime([]byte("at "), ms)); got != "at "+want {
			t.Errorf("%d ms is %s, expected %s", ms, got, want)
		}
	}
}
