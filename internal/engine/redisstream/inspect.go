package redisstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Inspect reads Redis's settings and state and says what they promise. It fails if Redis cannot be
// reached, and if it cannot confirm what the configured durability asks for.
func (e *Engine) Inspect(ctx context.Context) (engine.Durability, error) {
	if e.cluster != nil {
		return e.inspectCluster(ctx)
	}
	s := e.shards[0]
	served, err := e.served(ctx)
	if err != nil {
		return engine.Durability{}, s.classify(err)
	}
	d, err := s.inspect(ctx, e.opt.Durability)
	d.Facts = append(served.facts(), d.Facts...)
	d.Warnings = append(d.Warnings, served.warnings(e.opt.Durability)...)
	return d, err
}

// inspect says what the shard's server promises for itself.
func (s *shard) inspect(ctx context.Context, want Durability) (engine.Durability, error) {
	c := s.client(ctx)
	text, err := c.Info(ctx).Result()
	if err != nil && !optional(err) {
		return engine.Durability{}, s.classify(err)
	}
	settings, err := s.settings(ctx)
	if err != nil {
		return engine.Durability{}, s.classify(err)
	}
	looked := c.Do(ctx, "XINFO", "STREAM", s.stream).Err()
	measured := c.MemoryUsage(ctx, s.deadStream()).Err()
	f := findings{
		cluster:   s.e.cluster != nil,
		roleless:  s.e.elects() && optional(c.Do(ctx, "ROLE").Err()),
		want:      want,
		blind:     looked != nil && optional(looked) && looked.Error() != "ERR no such key",
		scaleless: measured != nil && optional(measured),
		info:      parseInfo(text),
		settings:  settings,
		cores:     localCores(s.address()),
	}
	_, err = s.probe(ctx)
	if errors.Is(err, engine.ErrDurability) {
		f.want = Durability{} // which is not what it does
	} else if err != nil {
		f.refusal = err.Error()
		if _, answered := asRefusal(err); answered {
			err = nil
		}
	}
	return engine.Durability{Engine: f.name(), Class: f.class(), Facts: f.facts(), Warnings: f.warnings()}, err
}

// inspected are the settings that matter.
var inspected = []string{
	"appendonly", "appendfsync", "save", "stop-writes-on-bgsave-error", "maxmemory", "maxmemory-policy", "io-threads",
}

// inspectedInCluster are those that matter in a cluster.
var inspectedInCluster = []string{"cluster-node-timeout", "cluster-require-full-coverage"}

// settings reads the settings that matter; nil if this user may not.
func (s *shard) settings(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for _, name := range slices.Concat(inspected, inspectedInCluster) {
		one, err := s.client(ctx).ConfigGet(ctx, name).Result()
		if err != nil && optional(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all[name] = one[name]
	}
	return all, nil
}

// parseInfo reads the lines name:value of INFO.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// localCores is the number of processors if Redis runs on this machine, else 0: not known.
func localCores(address string) int {
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return runtime.NumCPU()
	}
	return 0
}

// findings is what there is to judge by.
type findings struct {
	want      Durability
	cluster   bool              // the server is meant to be a node of one
	roleless  bool              // this user may not ask who the master is
	info      map[string]string // empty if INFO is forbidden
	settings  map[string]string // nil if CONFIG is forbidden
	cores     int
	refusal   string // how Redis refuses to store now, if it does
	blind     bool   // this user may not look at the stream
	scaleless bool   // this user may not ask how much memory dead letters and messages take
}

// facts are what an operator wants to see of settings and state.
func (f findings) facts() []engine.Fact {
	var all []engine.Fact
	add := func(from map[string]string, names ...string) {
		for _, name := range names {
			if value, known := from[name]; known {
				all = append(all, engine.Fact{Name: name, Value: value})
			}
		}
	}
	add(f.info, "role", "connected_slaves")
	add(f.settings, inspected...)
	if f.cluster {
		add(f.settings, inspectedInCluster...)
	}
	add(f.info, "used_memory_human", "aof_last_write_status", "rdb_last_bgsave_status")
	return all
}

func (f findings) name() string {
	if v := f.info["valkey_version"]; v != "" {
		return "Valkey " + v
	}
	if v := f.info["redis_version"]; v != "" {
		return "Redis " + v
	}
	return "Redis"
}

// aof says whether every write goes to the append-only file.
func (f findings) aof() bool {
	return f.settings["appendonly"] == "yes" || f.settings == nil && f.info["aof_enabled"] == "1"
}

func (f findings) class() engine.Class {
	switch {
	case f.want.Replicas > 0:
		return engine.Replicated
	case f.want.Fsync || f.aof() && f.settings["appendfsync"] == "always":
		return engine.Fsynced
	case f.aof() && f.settings["appendfsync"] != "no":
		return engine.OneSecond
	}
	return engine.MemoryOnly
}

func (f findings) warnings() []string {
	var all []string
	if f.refusal != "" {
		all = append(all, "redis does not store now: "+f.refusal)
	}
	warn := func(when bool, text string) {
		if when {
			all = append(all, text)
		}
	}
	warn(f.blind, "this user may not look whether redis still has what it has stored, "+
		"so all that devices send again is stored again: "+
		"allow it +xinfo|stream and +xrange")
	warn(f.scaleless, "this user may not ask how much memory dead letters and messages take, "+
		"so DEAD_LETTER_MAX_BYTES and MESSAGE_MAX_BYTES do not bound them: allow it +memory|usage")
	warn(f.roleless, "this user may not ask whether redis is a master, so a failover may lose what was acknowledged: "+
		"allow it +role")
	if f.settings == nil {
		warn(true, "the settings of redis could not be read: "+
			"allow this user +config|get, or check appendonly, appendfsync and maxmemory-policy by hand")
	} else {
		policy := f.settings["maxmemory-policy"]
		warn(f.settings["maxmemory"] == "0",
			"maxmemory is not set, so redis grows until the kernel ends it: "+
				"set maxmemory below the memory of its machine, and maxmemory-policy noeviction")
		warn(f.settings["maxmemory"] != "0" && policy != "noeviction",
			fmt.Sprintf("maxmemory-policy %s may evict the whole stream: set maxmemory-policy noeviction", policy))
		warn(f.aof() && f.settings["appendfsync"] == "no",
			"appendfsync no leaves writing to disk to the kernel, some 30 s late: set appendfsync everysec or always")
	}
	if len(f.info) == 0 {
		warn(true, "the state of redis could not be read: allow this user +info")
		return all
	}
	warn(f.info["cluster_enabled"] == "1" && !f.cluster, errCluster.Error())
	warn(f.cluster && f.settings["cluster-require-full-coverage"] == "yes",
		"cluster-require-full-coverage yes stops all shards when one fails: set it to no")
	warn(!f.aof(), "redis keeps no append-only file, so its restart loses records: set appendonly yes")
	warn(f.info["aof_last_write_status"] == "err", "the last write to the append-only file failed: "+
		"make room on its disk and see the log of redis")
	warn(f.info["rdb_last_bgsave_status"] == "err", "the last snapshot failed, and redis may refuse writes for it: "+
		"make room on its disk and see the log of redis")
	warn(f.info["role"] == "slave", "this redis is a replica: point the URL at its primary")
	warn(f.ioThreadsCrowd(), fmt.Sprintf("io-threads %s is more than the %d processors here have room for: "+
		"set io-threads 1", f.settings["io-threads"], f.cores))
	return all
}

// ioThreadsCrowd says whether the I/O threads, which spin while they wait, leave this machine no
// processor for anything else.
func (f findings) ioThreadsCrowd() bool {
	threads, _ := strconv.Atoi(f.settings["io-threads"])
	return threads > 1 && f.cores > 0 && threads+2 > f.cores
}
