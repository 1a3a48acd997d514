package redisstream

import (
	"fmt"
	"strconv"
	"strings"
)

// Durability says when an entry counts as stored. The zero value is "reply": when Redis has
// answered the XADD. With both, the entry is fsynced at the master and at so many replicas, by WAITAOF.
type Durability struct {
	// Fsync: when the entry is in the append-only file and the file is fsynced. By WAITAOF
	// (Redis 7.2), or because appendfsync is always, so that the answer comes after the fsync.
	Fsync bool
	// Replicas: when that many replicas have it in memory, by WAIT. 0 = none, at most 100.
	Replicas int
}

// maxReplicas is a bound that no real set of replicas reaches.
const maxReplicas = 100

// ParseDurability reads "reply", "fsync", "replicas=N", N from 1 to 100, or "quorum", which is both with one replica.
func ParseDurability(s string) (Durability, error) {
	switch s {
	case "reply":
		return Durability{}, nil
	case "fsync":
		return Durability{Fsync: true}, nil
	case "quorum":
		return Durability{Fsync: true, Replicas: 1}, nil
	}
	if number, ok := strings.CutPrefix(s, "replicas="); ok {
		if n, err := strconv.Atoi(number); err == nil && n >= 1 && n <= maxReplicas {
			return Durability{Replicas: n}, nil
		}
	}
	return Durability{}, fmt.Errorf("durability %q is not reply, fsync, quorum or replicas=N with N from 1 to %d",
		s, maxReplicas)
}

// String is what ParseDurability reads.
func (d Durability) String() string {
	switch {
	case d.Fsync && d.Replicas > 0:
		return "quorum"
	case d.Fsync:
		return "fsync"
	case d.Replicas > 0:
		return "replicas=" + strconv.Itoa(d.Replicas)
	}
	return "reply"
}

// The lanes for each durability; docs/decisions/0003-redis-client.md has the figures. While Redis
// answers from memory, more lanes only make the batches smaller. When its answers wait for a disk
// or for replicas, one such wait serves the batches of all lanes.
const (
	lanesReply = 4
	lanesWait  = 32
)

func (d Durability) lanes() int {
	if d == (Durability{}) {
		return lanesReply
	}
	return lanesWait
}
