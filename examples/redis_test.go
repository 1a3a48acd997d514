package examples

import (
	"slices"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestRedisGo(t *testing.T)     { testRedis(t, "redis-go") }
func TestRedisPython(t *testing.T) { testRedis(t, "redis-python") }
func TestRedisNode(t *testing.T)   { testRedis(t, "redis-node") }

// testRedis has two readers of an example, while a fleet sends. A third has died with entries that it was given. One
// freezes, the other one takes its place, and when that is killed, the first one goes on.
func testRedis(t *testing.T, name string) {
	t.Parallel()
	redis := testkit.StartRedis(t)
	s := serve(t, "REDIS_URL="+redis.URL())
	stop := s.fleet("--devices", "10", "--rate", "200", "--reconnect", "0.05")
	stored := func() int { return int(redis.Do("XLEN", stream).(int64)) }
	testkit.Eventually(t, "records are stored", func() bool { return stored() >= 150 })
	redis.Do("XGROUP", "CREATE", stream, group, "0")
	redis.Do("XREADGROUP", "GROUP", group, "dead", "COUNT", "120", "STREAMS", stream, ">")

	e := newExample(t, name)
	first := e.start("REDIS_URL=" + redis.URL())
	first.await(300)
	second := e.start("REDIS_URL=" + redis.URL())
	first.signal(syscall.SIGSTOP)
	second.await(300)
	first.signal(syscall.SIGCONT)
	testkit.Eventually(t, "the first one has found out", func() bool { return first.errs.String() != "" })
	before := len(first.records())
	second.kill()
	first.await(before + 100)

	acknowledged := stop()
	if n := stored(); n != acknowledged {
		t.Fatalf("%d records were acknowledged and %d are stored", acknowledged, n)
	}
	testkit.Eventually(t, "all are handled and acknowledged", func() bool {
		pending := redis.Do("XPENDING", stream, group).([]any)[0].(int64)
		return pending == 0 && handledIDs(redis) == acknowledged
	})
	wantInOrder(t, entries(t, redis), first.records(), second.records())
}

const (
	stream = "telemetry:teltonika"
	group  = "example"
)

// entries are the stream's records.
func entries(t *testing.T, redis *testkit.Redis) []record {
	var payloads []string
	for _, e := range redis.Do("XRANGE", stream, "-", "+").([]any) {
		fields := e.([]any)[1].([]any)
		payloads = append(payloads, fields[slices.Index(fields, any("payload"))+1].(string))
	}
	return records(t, payloads)
}

// handledIDs is how many ids are in the hashes of devices and days.
func handledIDs(redis *testkit.Redis) (n int) {
	for _, key := range redis.Do("KEYS", group+":[0-9]*").([]any) {
		n += int(redis.Do("HLEN", key).(int64))
	}
	return n
}

// wantInOrder fails unless each device's records were handled in their order, each once: those of the second reader in
// one piece between those of the first. A process that is killed may not have printed all that it has handled.
func wantInOrder(t *testing.T, stored, first, second []record) {
	t.Helper()
	around, between := byDevice(first), byDevice(second)
	for device, ids := range byDevice(stored) {
		before := 0
		if len(between[device]) > 0 {
			begin := slices.Index(ids, between[device][0])
			for before < len(around[device]) && slices.Contains(ids[:begin], around[device][before]) {
				before++
			}
		}
		for _, id := range slices.Concat(around[device][:before], between[device], around[device][before:]) {
			at := slices.Index(ids, id)
			if at < 0 {
				t.Fatalf("%s was handled twice or not in its device's order", id)
			}
			ids = ids[at+1:]
		}
	}
}
