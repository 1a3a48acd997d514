package postgres

import (
	"net"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// silentHost takes connections and never answers.
func silentHost(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// TestSilentHosts stores at the third host within the time of one Store, while the two before it are silent.
func TestSilentHosts(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "silent")
	hosts := silentHost(t) + "," + silentHost(t) + "," + d.Addr()
	e := startAt(t, strings.Replace(d.url(), d.Addr(), hosts, 1))
	store(t, e, enginetest.NewBatch(device, 0, 1))
}

// TestNextHost: a lane that could not connect begins with the next host, whatever addresses the first one's name has.
func TestNextHost(t *testing.T) {
	e := startAt(t, "postgres://a@one,two,three/a")
	c := e.lanes[0].connection
	for _, want := range []string{"one", "two", "three", "one"} {
		if c.Host != want || c.Fallbacks[len(c.Fallbacks)-1].Host == want {
			t.Errorf("it begins with %s, want %s", c.Host, want)
		}
		beginWithNext(c)
	}
}
