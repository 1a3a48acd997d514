package kafka

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"sync/atomic"
)

// ref names a dead letter for good: its partition, the run of the process that stored it, a number within that, and in
// how many parts it is.
type ref struct {
	partition int32
	name      string
	parts     int
}

// refs makes refs that nobody has made before.
type refs struct {
	run  string
	last *atomic.Uint64
}

func newRefs() refs {
	var b [8]byte
	rand.Read(b[:])
	return refs{run: hex.EncodeToString(b[:]), last: new(atomic.Uint64)}
}

func (r *refs) next(partition int32, parts int) ref {
	return ref{partition, fmt.Sprintf("%s-%012x", r.run, r.last.Add(1)), parts}
}

// maxParts is more than a frame ever has.
const maxParts = 1 << 16

var refForm = regexp.MustCompile(`^([0-9]{1,6})-([0-9a-f]{16}-[0-9a-f]{12})(?:-([0-9]{1,5}))?$`)

// String is the ref as EachDeadLetter shows it, and the key of the first part.
func (r ref) String() string {
	if r.parts > 1 {
		return fmt.Sprintf("%d-%s-%d", r.partition, r.name, r.parts)
	}
	return fmt.Sprintf("%d-%s", r.partition, r.name)
}

// key is the key of the n-th part, from 0.
func (r ref) key(n int) string {
	if n == 0 {
		return r.String()
	}
	return r.String() + "/" + strconv.Itoa(n+1)
}

func parseRef(text string) (r ref, ok bool) {
	m := refForm.FindStringSubmatch(text)
	if m == nil {
		return r, false
	}
	partition, _ := strconv.ParseInt(m[1], 10, 32)
	r = ref{partition: int32(partition), name: m[2], parts: 1}
	if m[3] != "" {
		r.parts, _ = strconv.Atoi(m[3])
	}
	return r, r.parts >= 1 && r.parts <= maxParts
}
