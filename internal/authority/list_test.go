package authority

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestAllowAll(t *testing.T) {
	if !(AllowAll{}).Known(imei(1)) {
		t.Error("unknown")
	}
}

func TestListFollowsItsFile(t *testing.T) {
	path := listFile(t, imei(1)+"\nbad line\n")
	var refreshed atomic.Int64
	s := newSubject(t, quick(path), func(o *Options) {
		o.Refreshed = func(context.Context) { refreshed.Add(1) }
	})
	s.wantKnown(false, imei(1))
	s.start()
	s.wantKnown(true, imei(1))
	s.wantLogged("allow-list read", "devices=1", "entries skipped", "count=1", "line 2", path)
	replace(t, path, imei(1)+"\n"+imei(2))
	testkit.Eventually(s, "the new device", func() bool { return s.Known(imei(2)) })
	replace(t, path, imei(2))
	testkit.Eventually(s, "the old device is gone", func() bool { return !s.Known(imei(1)) })
	n := refreshed.Load()
	testkit.Eventually(s, "told about each refresh", func() bool { return refreshed.Load() > n+1 })
	if lines := strings.Count(s.log.String(), "allow-list read"); lines != 3 {
		t.Errorf("%d lines about the list, want one a change:\n%s", lines, s.log)
	}
}

func TestListFollowsItsRedisSet(t *testing.T) {
	server := testkit.StartRedis(t)
	server.Do("SADD", key, imei(1))
	s := newSubject(t, redisList(t, server.URL()), strict)
	s.start()
	s.wantKnown(true, imei(1))
	server.Do("SADD", key, imei(2))
	testkit.Eventually(s, "the new device", func() bool { return s.Known(imei(2)) })
	server.Do("SREM", key, imei(1))
	testkit.Eventually(s, "the old device is gone", func() bool { return !s.Known(imei(1)) })
}

// Whatever happens to the source, the last good list stays in use and its age grows.
func TestListOutlivesItsSource(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	server.Do("SADD", key, imei(1))
	s := newSubject(t, redisList(t, server.URL()), strict)
	s.start()

	server.Kill()
	s.another(resultFailed)
	s.wantKnown(true, imei(1))
	s.wantLogged("last good one stays in use", "refused", "devices=1")
	before := s.Metrics.age()
	s.another(resultFailed)
	if after := s.Metrics.age(); after <= before {
		t.Errorf("age %v, then %v", before, after)
	}
	server.Restart() // without its data
	s.another(resultEmpty)
	s.wantKnown(true, imei(1))
	if s.Ready() != nil || s.Metrics.age() <= before {
		t.Errorf("ready %v, age %v", s.Ready(), s.Metrics.age())
	}
	server.Do("SADD", key, imei(1), imei(2))
	testkit.Eventually(s, "the list again", func() bool { return s.Known(imei(2)) })
	testkit.Eventually(s, "young again", func() bool { return s.Metrics.age() < before })
}

// Without strictness nobody is refused, so an empty list is a list.
func TestEmptyListThatIsNotStrict(t *testing.T) {
	path := listFile(t, imei(1))
	s := newSubject(t, quick(path), nil)
	s.start()
	replace(t, path, "# nobody\n")
	testkit.Eventually(s, "nobody", func() bool { return !s.Known(imei(1)) && s.Len() == 0 })
	testkit.Eventually(s, "warned", func() bool { return strings.Contains(s.log.String(), "allow-list is empty") })
	if s.refreshes(resultEmpty) == 0 {
		t.Error("not counted as empty")
	}
}

func TestStrictListRefusesToStart(t *testing.T) {
	for _, c := range []struct {
		name   string
		source Source
		want   error
		says   string
	}{
		{"empty file", NewFile(listFile(t, "# nobody\n")), ErrEmpty, "empty"},
		{"useless file", NewFile(listFile(t, "a b\nc d\n")), ErrEmpty, "2 entries that are not identifiers, such as line 1"},
		{"no file", NewFile(t.TempDir() + "/none"), ErrMissing, "/none"},
		{"no set", redisList(t, testkit.StartRedis(t).URL()), ErrEmpty, key},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSubject(t, c.source, strict)
			err := s.Start(context.Background())
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) ||
				!strings.Contains(err.Error(), c.source.String()) {
				t.Errorf("error %v", err)
			}
			if s.Ready() == nil {
				t.Error("ready")
			}
		})
	}
}

// A strict list waits for a source that is down, and says so.
func TestStrictListWaitsForItsSource(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	server.Do("SADD", key, imei(1))
	server.Kill()
	s := newSubject(t, redisList(t, server.URL()), strict)
	started := make(chan error, 1)
	go func() { started <- s.Start(context.Background()) }()
	testkit.Eventually(s, "not ready", func() bool {
		err := s.Ready()
		return err != nil && strings.Contains(err.Error(), "refused") && strings.Contains(err.Error(), key)
	})
	select {
	case err := <-started:
		t.Fatalf("started with %v", err)
	default:
	}
	server.Restart()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	s.wantKnown(true, imei(1))
	if err := s.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
}

// The source's directory is missing, so nothing but the file system and the bubble's clock is at work.
func TestRetriesAndTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir() + "/none"
		s := newSubject(t, NewFile(path), func(o *Options) { o.Refresh = 30 * time.Second })
		ctx, stop := context.WithCancel(context.Background())
		if err := s.Start(ctx); err != nil {
			t.Fatalf("a list that is not strict starts without its source: %v", err)
		}
		s.wantLogged("no device is known yet")
		if s.Ready() != nil {
			t.Errorf("ready: %v", s.Ready())
		}
		var run sync.WaitGroup
		run.Go(func() { s.Run(ctx) })
		for _, c := range []struct {
			after time.Duration
			least int
			most  int
		}{{2 * time.Second, 2, 3}, {time.Minute, 6, 8}, {time.Hour, 110, 140}} {
			time.Sleep(c.after)
			synctest.Wait()
			if n := s.refreshes(resultFailed); n < c.least || n > c.most {
				t.Errorf("%d attempts %v later, want %d to %d", n, c.after, c.least, c.most)
			}
		}
		if age := s.Metrics.age(); age < 3600 {
			t.Errorf("age %v s", age)
		}
		write(t, path, imei(1))
		time.Sleep(40 * time.Second)
		synctest.Wait()
		s.wantKnown(true, imei(1))
		if age := s.Metrics.age(); age > 33 {
			t.Errorf("age %v s", age)
		}
		stop()
		run.Wait()
	})
}

// Reload takes even a change that cannot be seen from outside.
func TestReloadDoesNotWaitForTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := listFile(t, imei(1))
		hourAgo := time.Now().Add(-time.Hour)
		hide := func() {
			if err := os.Chtimes(path, time.Time{}, hourAgo); err != nil {
				t.Fatal(err)
			}
		}
		hide()
		s := newSubject(t, NewFile(path), func(o *Options) { o.Refresh = time.Hour })
		ctx, stop := context.WithCancel(context.Background())
		if err := s.Start(ctx); err != nil {
			t.Fatal(err)
		}
		var run sync.WaitGroup
		run.Go(func() { s.Run(ctx) })
		write(t, path, imei(2))
		hide()
		for range 100 {
			s.Reload() // never blocks
		}
		synctest.Wait()
		s.wantKnown(true, imei(2))
		s.wantKnown(false, imei(1))
		stop()
		run.Wait()
	})
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	server.Kill()
	s := newSubject(t, redisList(t, server.URL()), strict)
	ctx, stop := context.WithCancel(context.Background())
	started := make(chan error, 1)
	go func() { started <- s.Start(ctx) }()
	testkit.Eventually(s, "a failure", func() bool { return s.refreshes(resultFailed) > 0 })
	stop()
	if err := <-started; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Logins ask while the list is replaced; a device that is on every version is known at any time.
func TestKnownWhileTheListChanges(t *testing.T) {
	t.Parallel()
	path := listFile(t, imei(0))
	s := newSubject(t, quick(path), func(o *Options) { o.Refresh = time.Millisecond })
	s.start()
	var logins sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		logins.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !s.Known(imei(0)) {
					t.Error("unknown for a moment")
					return
				}
			}
		})
	}
	for i := 1; i < 10; i++ {
		replace(t, path, imei(0)+"\n"+imei(i))
		s.Reload()
		testkit.Eventually(s, "the next version", func() bool { return s.Known(imei(i)) })
	}
	close(stop)
	logins.Wait()
}
