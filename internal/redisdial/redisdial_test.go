package redisdial

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]struct {
		address, user, master string
		sentinels, nodes      []string
		database              int
		tls                   bool
	}{
		"redis://u:p%2Fw@h:1/2":                    {address: "h:1", user: "u", database: 2},
		"rediss://h":                               {address: "h:6379", tls: true},
		"redis+sentinel://a,b:7,[::1]:8/mine":      {sentinels: []string{"a:26379", "b:7", "[::1]:8"}, master: "mine"},
		"redis+sentinel://u:p%2Fw@a:1/mine/3":      {user: "u", sentinels: []string{"a:1"}, master: "mine", database: 3},
		"rediss+sentinel://a/m%2F1":                {sentinels: []string{"a:26379"}, master: "m", database: 1, tls: true},
		"redis+sentinel://u:p%2Fw@::1/mine":        {user: "u", sentinels: []string{"[::1]:26379"}, master: "mine"},
		"redis+sentinel://a/m?sentinel_password=s": {sentinels: []string{"a:26379"}, master: "m"},
		"redis+cluster://u:p%2Fw@a,b:7,[::1]":      {user: "u", nodes: []string{"a:6379", "b:7", "[::1]:6379"}},
		"rediss+cluster://a:1/0":                   {nodes: []string{"a:1"}, tls: true},
	} {
		target, err := ParseAny(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		o := target.Server
		if o.Addr != want.address || o.Username != want.user || o.DB != want.database ||
			(o.TLSConfig != nil) != want.tls || target.Master != want.master ||
			!reflect.DeepEqual(target.Sentinels, want.sentinels) || !reflect.DeepEqual(target.Nodes, want.nodes) {
			t.Errorf("%s: %+v, %+v", raw, target, o)
		}
		if want.user != "" && o.Password != "p/w" {
			t.Errorf("%s: password %q", raw, o.Password)
		}
		if want.tls && o.Addr == "" && o.TLSConfig.ServerName != "" {
			t.Errorf("%s: all certificates must be of %s", raw, o.TLSConfig.ServerName)
		}
		if strings.Contains(raw, "=s") && target.Redact("AUTH s") != "AUTH ***" {
			t.Errorf("%s: the sentinels' password is shown", raw)
		}
	}
}

func TestParseRefusesWithoutQuoting(t *testing.T) {
	for _, raw := range []string{
		"http://u:hunter2@h", "redis://u:hunter2%zz@h", "redis://u:hunter2@h/zero", "hunter2",
		"redis+cluster://u:hunter2@h/1", "redis+cluster://u:hunter2@h,", "redis+cluster://u:hunter2@h:0",
		"redis+cluster://u:hunter2%zz@h",
		"redis+sentinel://u:hunter2@a", "redis+sentinel://u:hunter2@/m", "redis+sentinel://u:hunter2@a,/m",
		"redis+sentinel://u:hunter2@a:b:c/m", "redis+sentinel://u:hunter2%zz@a/m", "redis+sentinel://u:hunter2@a/m/zero",
		"redis+sentinel://u:hunter2@a/m/0?bad=hunter2",
	} {
		if _, err := ParseAny(raw); err == nil || strings.Contains(err.Error(), "hunter2") ||
			!strings.Contains(err.Error(), "redis+sentinel://user") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestParseRefusesCluster(t *testing.T) {
	if _, err := Parse("redis+cluster://u:hunter2@h"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
