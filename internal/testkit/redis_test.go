//go:build linux

package testkit

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestRedisKeepsItsFilesThroughKillAndRestart(t *testing.T) {
	r := StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	r.Do("SET", "k", "v")
	r.Kill()
	if r.ping() != "" {
		t.Fatal("a killed server answers")
	}
	r.Restart()
	if got := r.Do("GET", "k"); got != "v" {
		t.Fatalf("after the restart: %v, want v", got)
	}
}

func TestRedisFrozenAnswersAfterThaw(t *testing.T) {
	r := StartRedis(t)
	r.Freeze()
	Eventually(t, "stopped", func() bool { return processState(t, r.PID()) == "T" })
	r.Thaw()
	if got := r.Do("PING"); got != "PONG" {
		t.Fatalf("after the thaw: %v", got)
	}
}

func TestRedisIsKilledWhileFrozen(t *testing.T) {
	var pid int
	t.Run("inner", func(t *testing.T) {
		r := StartRedis(t)
		pid = r.PID()
		r.Freeze()
	})
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); !os.IsNotExist(err) {
		t.Fatalf("redis-server %d is left over: %v", pid, err)
	}
}

func processState(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}
