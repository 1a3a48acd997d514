package stranger_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/redisstore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.AfterDials(m)) }

// shared is a ring that is kept in a store until the test ends, or stop.
type shared struct {
	*stranger.Sharing
	t    *testing.T
	stop func()
}

func share(t *testing.T, instance string, store stranger.Store, log *testkit.Log) *shared {
	ctx, cancel := context.WithCancel(t.Context())
	s := &shared{t: t, Sharing: stranger.Share(stranger.NewRing(instance), store, slog.New(slog.NewTextHandler(log, nil)))}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	s.stop = func() { cancel(); <-ended }
	t.Cleanup(s.stop)
	return s
}

func (s *shared) knock(from string) {
	s.Knock(stranger.Knock{Door: stranger.DoorTCP, Address: from + ":4000", Cause: stranger.CauseSilent})
}

// eventually waits until so many strangers are known, who are counted so often.
func (s *shared) eventually(strangers int, count uint64) {
	s.t.Helper()
	testkit.Eventually(s.t, fmt.Sprintf("%d strangers counted %d times", strangers, count), func() bool {
		all, err := s.Strangers(s.t.Context())
		var counted uint64
		for i := range all {
			counted += all[i].Count
		}
		return err == nil && len(all) == strangers && counted == count
	})
}

func redisStore(t *testing.T, server *testkit.Redis) *redisstore.Store {
	store, err := redisstore.New(server.URL(), "strangers-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// Any instance knows who knocked at another one, also when that has gone.
func TestInstancesShareStrangers(t *testing.T) {
	server, log := testkit.StartRedis(t), new(testkit.Log)
	here, there := share(t, "a", redisStore(t, server), log), share(t, "b", redisStore(t, server), log)
	here.knock("192.0.2.1")
	here.knock("192.0.2.1")
	there.knock("192.0.2.1")
	there.knock("192.0.2.2")
	for _, s := range []*shared{here, there} {
		s.eventually(3, 4)
	}
	there.knock("192.0.2.3") // in its last second
	there.stop()
	here.eventually(4, 5)
	if got := server.Do("ZCARD", "devices:strangers:order"); got != int64(4) {
		t.Errorf("%v are kept", got)
	}
}

// While the store is away each instance knows its own. What was new then is shared later.
func TestStoreThatIsAway(t *testing.T) {
	server, log := testkit.StartRedis(t), new(testkit.Log)
	here, there := share(t, "a", redisStore(t, server), log), share(t, "b", redisStore(t, server), log)
	server.Kill()
	here.knock("192.0.2.1")
	testkit.Eventually(t, "a failure", func() bool { return log.Count("strangers are not shared") > 0 })
	if all, err := here.Strangers(t.Context()); err == nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	server.Restart()
	there.eventually(1, 1)
	testkit.Eventually(t, "a success", func() bool { return log.Count("strangers are shared again") > 0 })
}

// Without a Redis they outlive the process.
func TestStrangersOutliveTheProcess(t *testing.T) {
	dir, log := t.TempDir(), new(testkit.Log)
	open := func() *sqlitestore.Store {
		store, err := sqlitestore.New(dir, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store := open()
	before := share(t, "a", store, log)
	before.knock("192.0.2.1")
	before.knock("192.0.2.2")
	before.stop()
	store.Close()
	store = open()
	after := share(t, "b", store, log)
	after.eventually(2, 2)
	after.knock("192.0.2.2")
	after.eventually(2, 3)
	after.stop()
	store.Close()
}
