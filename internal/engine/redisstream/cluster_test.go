package redisstream

import (
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// A node of a cluster answers MOVED for some of the keys, which says nothing to whoever has set a plain URL.
func TestClusterIsNamed(t *testing.T) {
	t.Parallel()
	nodes := testkit.StartRedisCluster(t, 2)
	const remedy = "node of a Redis Cluster"
	refused := 0
	for _, r := range nodes {
		e := use(t, r, Options{})
		b := enginetest.NewBatch(device, 0, 1)
		if err := e.Store(limited(t), 0, b); err != nil {
			t.Fatal(err)
		}
		if b.Results[0].Err != nil { // the other node has the records' slot
			wantFate(t, b.Results[0].Err, false, false, "MOVED")
			wantFate(t, b.Results[0].Err, false, false, remedy)
			refused++
		}
		_, err := e.Probe(limited(t)) // of three keys, no two in one slot, one at least is elsewhere
		wantFate(t, err, false, false, remedy)
		d, err := e.Inspect(limited(t))
		if err != nil || !strings.Contains(strings.Join(d.Warnings, "\n"), remedy) {
			t.Errorf("inspect: %q, %v", d.Warnings, err)
		}
	}
	if refused != 1 {
		t.Errorf("%d of two nodes have refused a record", refused)
	}
}
