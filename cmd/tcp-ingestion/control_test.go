package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestControlRedisBesideAnotherEngine has two instances with stores of their own find each other's devices.
func TestControlRedisBesideAnotherEngine(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	p.Do("SADD", "devices:allowlist", first)
	start := func(instance string) *server {
		return startServer(t, map[string]string{
			"ENGINE": "embedded", "DATA_DIR": t.TempDir(), "CONTROL_REDIS_URL": p.URL(), "INSTANCE_ID": instance,
			"DEVICE_AUTHORITY_MODE": "redis_allow_list", "STRICT_DEVICE_AUTH": "true",
		})
	}
	a, b := start("a"), start("b")
	d := a.connect(first)
	p.wantRegistered(first, "a")
	testkit.EventuallyIn(t, "both instances have a heartbeat", patience, func() bool {
		return p.Do("EXISTS", "instance:heartbeat:a", "instance:heartbeat:b") == int64(2)
	})
	p.order("commands:outbound:b", "elsewhere", first, "getinfo")
	d.Answer(d.ExpectCommand("getinfo"), "from a")
	if r := p.response("elsewhere", command.Answered); r["response"] != "from a" || r["instance"] != "a" {
		t.Errorf("%v", r)
	}
	for _, s := range []*server{a, b} {
		if !strings.Contains(s.tail(1000), "in redis, CONTROL_REDIS_URL") {
			t.Errorf("the log does not say where commands are:\n%s", s.tail(20))
		}
	}
	a.wantNothingMore(first, d)
}

// TestCheckOfCommands says where commands are kept, and refuses what keeps none.
func TestCheckOfCommands(t *testing.T) {
	t.Parallel()
	one, cluster := testkit.StartRedis(t), testkit.StartRedis(t, "--cluster-enabled", "yes")
	replica, away := testkit.StartRedis(t, "--replicaof", "127.0.0.1 1"), "redis://u:hunter2@127.0.0.1:1"
	for _, c := range []struct {
		name     string
		settings map[string]string
		code     int
		says     string
	}{
		{"embedded", map[string]string{"ENGINE": "embedded"}, 0, ", for devices of this instance only"},
		{"beside the records", map[string]string{"REDIS_URL": one.URL()}, 0, "in redis, REDIS_URL"},
		{"its own", map[string]string{"CONTROL_REDIS_URL": one.URL()}, 0, "in redis, CONTROL_REDIS_URL"},
		{"a cluster", map[string]string{"CONTROL_REDIS_URL": cluster.URL()}, 1, "node of a cluster"},
		{"a replica", map[string]string{"CONTROL_REDIS_URL": replica.URL()}, 1, "READONLY"},
		{"away", map[string]string{"CONTROL_REDIS_URL": away}, 1, "commands cannot be kept"},
		{"not a URL", map[string]string{"CONTROL_REDIS_URL": "http://u:hunter2@h"}, 78, "CONTROL_REDIS_URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.settings["DATA_DIR"] = t.TempDir()
			code, out, errOut := execute(t, c.settings, "", "check")
			if all := out + errOut; code != c.code || !strings.Contains(all, c.says) || strings.Contains(all, "hunter2") {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, c.code, c.says, all)
			}
		})
	}
}

// TestClusterInARedisURL has the one mistake that Redis itself answers with MOVED: check and the service name it.
func TestClusterInARedisURL(t *testing.T) {
	t.Parallel()
	const says = "node of a Redis Cluster"
	node := testkit.StartRedisCluster(t, 2, 0, time.Minute).Nodes[0]
	settings := map[string]string{"REDIS_URL": node.URL(), "DATA_DIR": t.TempDir()}
	if code, out, errOut := execute(t, settings, "", "check"); code != 1 || !strings.Contains(out+errOut, says) {
		t.Errorf("check: exit code %d, want 1 and %q:\n%s%s", code, says, out, errOut)
	}
	s := startServer(t, settings)
	testkit.EventuallyIn(t, "not ready, with the reason", patience, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, says)
	})
}
