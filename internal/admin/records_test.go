package admin

import (
	"context"
	"errors"
	"testing"
)

// shelf is an engine's records of one device, the newest first.
type shelf []string

func (s shelf) LastRecords(_ context.Context, deviceID string, n int) (newest [][]byte, whole bool, err error) {
	if s == nil {
		return nil, false, errors.New("the disk is full")
	}
	if deviceID != present {
		return nil, false, nil
	}
	for _, document := range s[:min(n, len(s))] {
		newest = append(newest, []byte(document))
	}
	return newest, true, nil
}

// published is a record of the device, with more behind its id.
func published(more string) string {
	return `{"device_id":"` + present + `","timestamp":"2026-11-22T11:00:00.000Z","latitude":54.667425,` +
		`"longitude":25.2560283,"altitude":172,"angle":248,"speed":0,"satellites":11,"priority":1,` +
		`"attributes":{"66":24100},"event_id":66,"fix":"ok","codec":"8E","received_at":"2026-11-22T11:00:00.123Z",` +
		`"id":"` + present + `-1795345200000-12b2e48e37022734"` + more + `}`
}

func TestLastRecords(t *testing.T) {
	second, first := published(`,"signals":{"position.hdop":0.9,"external.powersource.voltage":24.1},`+
		`"device":{"family":"fmb","by":"elements"},"dict":"2026.11"`), published("")
	s := start(t, Options{Records: shelf{second, "not ours", `{"a":"<b>"}`, first}})
	for parameters, want := range map[string]string{
		"":         `{"records":[` + second + `,` + first + `],"units":{"external.powersource.voltage":"V"},"whole":true}`,
		"?limit=1": `{"records":[` + second + `],"units":{"external.powersource.voltage":"V"},"whole":true}`,
	} {
		if a := s.ask("GET", "/v1/devices/"+present+"/records"+parameters, ""); string(a.body) != want+"\n" {
			t.Errorf("%q:\n got %s\nwant %s", parameters, a.body, want)
		}
	}
	s.ask("GET", "/v1/devices/"+absent+"/records", "").want(t, 200)
	s.ask("GET", "/v1/devices/"+present+"/records?limit=101", "").want(t, 400)
	start(t, Options{}).ask("GET", "/v1/devices/"+present+"/records", "").want(t, 501)
	start(t, Options{Records: shelf(nil)}).ask("GET", "/v1/devices/"+present+"/records", "").want(t, 503)
}
