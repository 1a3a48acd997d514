package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// idle keeps connections that say nothing open until the function that it returns is called.
func idle(address, from string, n int) (end func()) {
	return attack(n, func(int, int) {
		v := &visitor{address: address, from: from}
		if v.dial() == nil {
			v.conn.SetReadDeadline(time.Now().Add(time.Second))
			v.conn.Read(make([]byte, 1))
			v.conn.Close()
		}
		time.Sleep(50 * time.Millisecond) // the pace of an attack
	})
}

// Before, 300 idle connections at METRICS_PORT took all of 256 descriptors, and no device got in.
func TestIdleConnectionsAtMetricsPortKeepNoDeviceOut(t *testing.T) {
	const devices = 20
	s := frontDoor(t, map[string]string{descriptorsVar: "256", "MAX_CONNECTIONS": ""})
	defer idle(s.http, "127.0.0.66", 300)()
	defer idle(s.admin, "127.0.0.66", 300)()
	testkit.Eventually(t, "they are there", func() bool {
		s.get("/healthz")
		return s.metric("process_open_fds") > 24
	})
	begun := time.Now()
	served := honest(t, s, devices, "127.0.0.2", 0)
	t.Logf("%d of %d honest devices served in %v", served, devices, time.Since(begun))
	if served != devices {
		t.Fail()
	}
	if status, body := s.get("/healthz"); status != 200 {
		t.Errorf("healthz: %d %s", status, body)
	}
	if n := s.metric("process_open_fds"); n > 100 {
		t.Errorf("%v descriptors are in use", n)
	}
	if s.logged("cannot accept connections") {
		t.Error("the descriptors were used up")
	}
}

// Before, as many devices as may connect left 7 of 64 descriptors, /healthz failed, and whoever watches it restarted a
// process that was well.
func TestDevicesLeaveDescriptorsForHealth(t *testing.T) {
	for _, limit := range []string{"64", "256"} {
		t.Run(limit, func(t *testing.T) {
			s := frontDoor(t, map[string]string{descriptorsVar: limit, "MAX_CONNECTIONS": ""})
			end := attack(300, func(worker, round int) {
				v := &visitor{address: s.devices, from: "127.0.0.2"}
				if v.login(fmt.Sprintf("9%04d%09d", worker, round)) == nil && v.report(1_700_000_000_000) == nil { // proven ones
					v.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
					v.conn.Read(make([]byte, 1))
				}
				if v.conn != nil {
					v.conn.Close()
				}
				time.Sleep(200 * time.Millisecond) // the pace of an attack
			})
			defer end()
			testkit.Eventually(t, "all places are taken", func() bool {
				return s.metric("teltonika_connections_closed_total") > 0 && s.logged("connection limit reached, connection closed")
			})
			defer idle(s.http, "127.0.0.66", 100)()
			defer idle(s.admin, "127.0.0.66", 100)()
			for range 50 {
				if code, out, errOut := execute(t, map[string]string{"METRICS_PORT": portString(s.http)}, "",
					"healthcheck", "--timeout", patience.String()); code != 0 {
					t.Fatalf("healthcheck: exit %d\n%s%s", code, out, errOut)
				}
			}
			if s.logged("cannot accept connections") {
				t.Error("the descriptors were used up")
			}
		})
	}
}

func portString(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// What the administrator sets wins, and is remarked on if it leaves nothing for the rest.
func TestMaxConnectionsThatLeavesTooFewDescriptors(t *testing.T) {
	s := frontDoor(t, map[string]string{descriptorsVar: "128", "MAX_CONNECTIONS": "120"})
	s.wantLogged("few file descriptors are left beside devices, raise their limit or allow fewer connections")
	s = frontDoor(t, map[string]string{descriptorsVar: "128", "MAX_CONNECTIONS": ""})
	if s.logged("few file descriptors are left beside devices, raise their limit or allow fewer connections") ||
		!strings.Contains(s.tail(20), `"max_connections":88`) {
		t.Errorf("not 88 of 128:\n%s", s.tail(20))
	}
}
