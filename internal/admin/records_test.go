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

func TestLastRecords(t *testing.T) {
	const second = `{"device_id":"` + present + `","codec":"8E",` +
		`"signals":{"position.hdop":0.9,"external.powersource.voltage":24.1}}`
	const first = `{"device_id":"` + present + `","codec":"8E"}`
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
