package main

import (
	"os"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// replicated is a store that several servers keep, with a relay in front of each.
type replicated struct {
	store
	master func() *testkit.Redis
	relay  func(*testkit.Redis) *testkit.Relay
}

func relayed(servers []*testkit.Redis, relays []*testkit.Relay) func(*testkit.Redis) *testkit.Relay {
	return func(r *testkit.Redis) *testkit.Relay { return relays[slices.Index(servers, r)] }
}

// TestAnswersLost has the answers of a master with replicas lost under load: Redis has stored what the server does not
// hear of. It is not stored again, neither by the server nor when devices send it again.
func TestAnswersLost(t *testing.T) {
	for _, open := range []func(testing.TB) replicated{
		func(t testing.TB) replicated {
			store, n := sentinelStore(t)
			return replicated{store, n.Master, relayed(n.Servers, n.Relays())}
		},
		func(t testing.TB) replicated {
			store, c := clusterStore(t)
			master := func() *testkit.Redis { return c.Master(shardStream(0)) }
			return replicated{store, master, relayed(c.Nodes, c.Relays())}
		},
	} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, store.settings)
			f := startFleet(t, s.devices, 40, chatty)
			rounds, end := 3, time.Now()
			if os.Getenv("CRASH_TIME") != "" {
				end = end.Add(crashTime(t))
			}
			done := 0
			for ; done < rounds || time.Now().Before(end); done++ {
				f.awaitProgress(t, 1000)
				store.loseAnswers(t)
			}
			t.Logf("%d rounds", done)
			f.awaitProgress(t, 1000)
			f.endWith(t, s)
			store.wantAll(t, f.acknowledged(), false)
			store.wantOrder(t, f.acknowledged())
			store.wantMessages(t, f.messages())
		})
	}
}

// loseAnswers has the master store what comes, and closes its connections instead of passing its answers on.
func (r *replicated) loseAnswers(t *testing.T) {
	t.Helper()
	var master *testkit.Redis
	testkit.Eventually(t, "a master is named", func() bool { master = r.master(); return master != nil })
	relay := r.relay(master)
	held := relay.Held()
	relay.Hang()
	defer relay.Drop()
	testkit.Eventually(t, "the master answers", func() bool { return relay.Held() > held+1 })
}
