package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestWatchDevices shows who is there, who comes and who goes, and nothing twice.
func TestWatchDevices(t *testing.T) {
	t.Parallel()
	s := startServer(t, embeddedStore(t).settings)
	s.connect(second)
	for _, args := range [][]string{{"--watch", "--json"}, {"--watch", "--all", "--json"}} {
		var out testkit.Log
		cmd := program(t, map[string]string{"ADMIN_ADDRESS": s.admin}, append([]string{"devices"}, args...)...)
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		want := func(what, text string) {
			t.Helper()
			testkit.EventuallyIn(t, what, patience, func() bool { return out.Has(text) })
		}
		want("who is there", second)
		d := s.connect(first)
		want("who comes", `{"imei":"`+first+`","connected":true`)
		d.Close()
		want("who goes", `{"imei":"`+first+`","connected":false`)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		for _, line := range lines {
			var p device.Presence
			if err := json.Unmarshal([]byte(line), &p); err != nil || p.IMEI != first && p.IMEI != second {
				t.Errorf("%v: %s", err, line)
			}
		}
		if n := strings.Count(out.String(), second); n != 1 {
			t.Errorf("%q: %d lines of a device that stays", args, n)
		}
	}
}
