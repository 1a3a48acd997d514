package main

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestRollingRestartThatNobodyNotices: with DRAIN_DELAY above what haproxy needs to notice /readyz, no visitor is
// refused or cut off while two instances are restarted one after the other. haproxy tries no other instance here. The
// device that stays connected is served until its turn, and its last frame is acknowledged.
func TestRollingRestartThatNobodyNotices(t *testing.T) {
	t.Parallel()
	var instances [2]*server
	var settings [2]map[string]string
	for i := range instances {
		settings[i] = maps.Clone(embeddedStore(t).settings)
		// Visitors come so often that their logins are delayed, up to 2 s; who connects just before has to get its turn.
		maps.Copy(settings[i], map[string]string{"DRAIN_DELAY": "6s", "CLOSE_SPREAD": "200ms",
			"METRICS_PORT": fmt.Sprint(testkit.FreePort(t))})
		instances[i] = startServer(t, settings[i])
		settings[i]["TELTONIKA_PORT"] = portIn(instances[i].devices)
	}
	one, two := instances[0], instances[1]
	config := adapted(t, map[string]string{
		`192\.0\.2\.11:502\d`:                  one.devices + " port " + portIn(one.http),
		`192\.0\.2\.12:502\d`:                  two.devices + " port " + portIn(two.http),
		`option redispatch 1`:                  "option httpchk GET /readyz\n    retries 0\n    timeout check 5s",
		`send-proxy-v2 check check-send-proxy`: "check",
	})
	plain, address := listeningSocket(t)
	secure, _ := listeningSocket(t)
	runHaproxy(t, config, plain, secure)
	awaitBehind := func(s *server) {
		testkit.Eventually(t, "haproxy sends visitors", func() bool { return s.metric("teltonika_handshake_total") > 5 })
	}
	v := startVisitors(t, 4, map[string]*tls.Config{address: nil})
	for i, s := range instances {
		awaitBehind(s)
		serveUntilItsTurn(t, s)
		instances[i] = startServer(t, settings[i])
		awaitBehind(instances[i])
	}
	v.settle(t, 2)
	if v.refused.Load()+v.cut.Load() > 0 {
		t.Errorf("%d visitors refused, %d cut off", v.refused.Load(), v.cut.Load())
	}
}

// serveUntilItsTurn stops the server while a device is connected to it.
func serveUntilItsTurn(t *testing.T, s *server) {
	t.Helper()
	stays := testkit.Dial(t, s.devices)
	stays.MustLogin("356307042441099")
	sendOne(stays, recordTime)
	stopped := make(chan int, 1)
	go func() { stopped <- s.stop(syscall.SIGTERM, patience) }()
	testkit.Eventually(t, "not ready", func() bool {
		status, body := s.get("/readyz")
		return status == 503 && strings.Contains(body, "draining")
	})
	sendOne(stays, recordTime+1000) // is acknowledged during the delay
	if code := <-stopped; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func portIn(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
