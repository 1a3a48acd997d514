package enginetest

import (
	"slices"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var lastRecordCases = []testCase{
	{"are the device's newest, the newest first", lastRecordsOfOne},
}

func lastRecordsOfOne(t *testing.T, h Harness) {
	e := open(t, h)
	for i := range 5 {
		storeNew(t, e, NewBatch(deviceA, 10*i, 10))
		storeNew(t, e, NewBatch(deviceB, 300*i, 300))
	}
	var want []string
	for _, r := range h.Records(t) {
		if r.DeviceID == deviceA {
			want = append(want, h.normal(r.Payload))
		}
	}
	slices.Reverse(want)
	last := func(device string, n int) (payloads []string) {
		t.Helper()
		newest, whole, err := e.(engine.DeviceReader).LastRecords(t.Context(), device, n)
		if err != nil || !whole {
			t.Errorf("%d of %s: whole %v, %v", n, device, whole, err)
		}
		for _, p := range newest {
			payloads = append(payloads, h.normal(string(p)))
		}
		return payloads
	}
	for n, found := range map[int]int{1: 1, 7: 7, 50: 50, 60: 50} {
		if got := last(deviceA, n); !slices.Equal(got, want[:found]) {
			t.Errorf("the last %d are\n%q, want\n%q", n, got, want[:found])
		}
	}
	if got := last("never", 5); len(got) != 0 {
		t.Errorf("a device that has none has %q", got)
	}
}
