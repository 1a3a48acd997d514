package main

import (
	"encoding/json"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestShedCommand asks a real server. Its devices have just come, so that they stay.
func TestShedCommand(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "SHED_ABOVE": "50"})
	device := s.connect("356307042441013")
	if code, out, errOut := ask(s, "shed"); code != 0 ||
		out != "nothing is being shed; 1 devices are connected, SHED_ABOVE is 50\n" {
		t.Errorf("exit code %d, %q, %s", code, out, errOut)
	}
	var status shed.Status
	code, out, errOut := ask(s, "shed", "--json", "--over", "1ms", "100%")
	if err := json.Unmarshal([]byte(out), &status); err != nil || code != 0 || status.Cause != shed.ByRequest ||
		status.Closing != 0 || status.OverMS != 1 {
		t.Errorf("exit code %d, %v, %s, %s", code, err, out, errOut)
	}
	testkit.Eventually(t, "it is over", func() bool {
		_, out, _ := ask(s, "shed")
		return out == "nothing is being shed; last 0 connections (request); 1 devices are connected, SHED_ABOVE is 50\n"
	})
	device.SendFrame(teltonika.Codec8E, goodRecord())
	device.ExpectACK(1)
	for _, args := range [][]string{
		{"0%"}, {"101%"}, {"-1"}, {"x"}, {"1", "2"}, {"--over", "1s"}, {"--over", "0s", "1%"},
	} {
		if code, _, errOut := ask(s, append([]string{"shed"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errOut)
		}
	}
	if code, _, errOut := ask(s, "shed", "--over", "2h", "1%"); code != exitFailure ||
		!strings.Contains(errOut, "over_ms") {
		t.Errorf("two hours: exit code %d, %s", code, errOut)
	}
	if body := string(s.documented("/v1/shed")); !strings.Contains(body, `"above":50`) {
		t.Errorf("GET /v1/shed: %s", body)
	}
}
