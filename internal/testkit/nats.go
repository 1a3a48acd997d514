//go:build linux

package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsVersion is the one that `make tools` installs, which reads it here.
const natsVersion = "v2.15.3"

// natsTimeout is how long servers may take to start, to choose leaders or to answer.
const natsTimeout = time.Minute

// NATS is one nats-server with JetStream, or a cluster of several, on free loopback ports. Its methods fail the test
// instead of returning errors.
type NATS struct {
	tb  testing.TB
	dir string

	options []nats.Option // of conn
	nodes   []*natsNode
	conn    *nats.Conn
}

type natsNode struct {
	port   int
	config string   // path of its file
	run    *process // nil while killed
}

// ToolPath is where `make tools` puts a program that no package manager has.
func ToolPath(tb testing.TB, name string) string {
	tb.Helper()
	cache, err := os.UserCacheDir()
	path := filepath.Join(cache, "tcp-ingestion-tools", name)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		tb.Fatalf("these tests run %s: make tools (%v)", name, err)
	}
	return path
}

// StartNATS starts so many servers and waits until they store. Settings are lines of every server's file. The servers
// are killed when the test ends, also if they are frozen, and if the test's process dies.
func StartNATS(tb testing.TB, nodes int, settings ...string) *NATS {
	tb.Helper()
	return StartNATSFor(tb, nil, nodes, settings...)
}

// StartNATSFor is StartNATS for servers to which the test's own connection needs options.
func StartNATSFor(tb testing.TB, connection []nats.Option, nodes int, settings ...string) *NATS {
	tb.Helper()
	n := &NATS{tb: tb, dir: tb.TempDir(), options: connection} // it goes after the servers
	tb.Cleanup(func() {
		if n.conn != nil {
			n.conn.Close()
		}
		for i := range n.nodes {
			n.Kill(i)
		}
	})
	ports := freePorts(tb, 2*nodes)
	var routes []string
	for i := range nodes {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[nodes+i]))
	}
	for i := range nodes {
		n.nodes = append(n.nodes, n.configure(i, ports[i], routes, settings))
		n.launch(i)
	}
	n.awaitStoring()
	return n
}

// configure writes a server's file.
func (n *NATS) configure(i, port int, routes, settings []string) *natsNode {
	dir := filepath.Join(n.dir, fmt.Sprint("node", i))
	if err := os.Mkdir(dir, 0o700); err != nil {
		n.tb.Fatal(err)
	}
	node := &natsNode{port: port, config: filepath.Join(dir, "nats.conf")}
	lines := []string{
		fmt.Sprintf("server_name: node%d", i), fmt.Sprintf("server_tags: [node%d]", i),
		fmt.Sprintf("listen: 127.0.0.1:%d", node.port),
		fmt.Sprintf("jetstream { store_dir: %q, max_memory_store: 64MB }", dir),
	}
	if len(routes) > 1 {
		lines = append(lines, fmt.Sprintf("cluster { name: test, listen: %q, routes: [%s] }",
			strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", ")))
	}
	file := strings.Join(append(lines, settings...), "\n") + "\n"
	if err := os.WriteFile(node.config, []byte(file), 0o600); err != nil {
		n.tb.Fatal(err)
	}
	return node
}

func (n *NATS) launch(i int) {
	n.tb.Helper()
	p, err := startProcess(ToolPath(n.tb, "nats-server-"+natsVersion), "-c", n.nodes[i].config)
	if err != nil {
		n.tb.Fatalf("start nats-server: %v", err)
	}
	n.nodes[i].run = p
}

// URL is the servers' addresses as the service's settings take them.
func (n *NATS) URL() string {
	var all []string
	for i := range n.nodes {
		all = append(all, n.NodeURL(i))
	}
	return strings.Join(all, ",")
}

// NodeURL is the address of one server.
func (n *NATS) NodeURL(i int) string { return "nats://" + n.Addr(i) }

// Addr is the host and port of one server.
func (n *NATS) Addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", n.nodes[i].port) }

// Conn is a connection of the test's own, which finds a server that works.
func (n *NATS) Conn() *nats.Conn {
	n.tb.Helper()
	if n.conn != nil {
		return n.conn
	}
	options := append([]nats.Option{nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(50 * time.Millisecond), nats.PingInterval(time.Second), nats.Timeout(time.Second)}, n.options...)
	conn, err := nats.Connect(n.URL(), options...)
	if err != nil {
		n.tb.Fatalf("connect to nats: %v", err)
	}
	n.conn = conn
	return conn
}

// JetStream is its API on that connection.
func (n *NATS) JetStream() jetstream.JetStream {
	n.tb.Helper()
	js, err := jetstream.New(n.Conn())
	if err != nil {
		n.tb.Fatal(err)
	}
	return js
}

// Kill ends a server at once, as kill -9 does, unless it is dead.
func (n *NATS) Kill(i int) {
	n.tb.Helper()
	if node := n.nodes[i]; node.run != nil {
		node.run.kill(n.tb)
		node.run = nil
	}
}

// Restart starts a server again on the same port and in the same directory.
func (n *NATS) Restart(i int) {
	n.tb.Helper()
	n.Kill(i)
	n.launch(i)
}

// Freeze stops a server's process: its sockets stay open and nothing answers.
func (n *NATS) Freeze(i int) { n.tb.Helper(); Freeze(n.tb, n.nodes[i].run.pid) }

// Thaw lets a frozen server go on.
func (n *NATS) Thaw(i int) { n.tb.Helper(); n.nodes[i].run.signal(n.tb, syscall.SIGCONT) }

// Leader is the server that leads a stream, waited for until there is one.
func (n *NATS) Leader(stream string) (leader int) {
	n.tb.Helper()
	n.try("a leader of "+stream, func(ctx context.Context) (err error) {
		leader, err = n.leader(ctx, stream)
		return err
	})
	return leader
}

func (n *NATS) leader(ctx context.Context, stream string) (leader int, err error) {
	s, err := n.JetStream().Stream(ctx, stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(s.CachedInfo().Cluster.Leader, "node%d", &leader); err != nil {
		return 0, errors.New("none yet")
	}
	return leader, nil
}

// Messages are all that a stream has on the subjects, oldest first, read by a consumer of the test's own; none if there
// is no such stream.
func (n *NATS) Messages(stream, subjects string) (all []jetstream.Msg) {
	n.tb.Helper()
	Succeeds(n.tb, "reading "+stream, 3*natsTimeout, func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), natsTimeout)
		defer cancel()
		all, err = n.messages(ctx, stream, subjects)
		return err
	})
	return all
}

func (n *NATS) messages(ctx context.Context, stream, subjects string) (all []jetstream.Msg, err error) {
	s, err := n.JetStream().Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subjects))
	if err != nil {
		return nil, err
	}
	left := 0
	for _, count := range info.State.Subjects {
		left += int(count)
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subjects}})
	for err == nil && left > 0 {
		var batch jetstream.MessageBatch
		if batch, err = consumer.Fetch(min(left, 1000), jetstream.FetchMaxWait(natsTimeout)); err != nil {
			break
		}
		for m := range batch.Messages() {
			all = append(all, m)
			left--
		}
		err = batch.Error()
	}
	return all, err
}

// CreateStream makes a stream, as soon as the servers that it needs know of each other.
func (n *NATS) CreateStream(config jetstream.StreamConfig) {
	n.tb.Helper()
	n.try("a stream "+config.Name, func(ctx context.Context) error {
		_, err := n.JetStream().CreateStream(ctx, config)
		return err
	})
}

// awaitStoring waits until the servers store with as many copies as there are servers.
func (n *NATS) awaitStoring() {
	n.tb.Helper()
	const name = "TESTKIT"
	n.CreateStream(jetstream.StreamConfig{Name: name, Replicas: len(n.nodes)})
	n.try("its deletion", func(ctx context.Context) error {
		if err := n.JetStream().DeleteStream(ctx, name); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		return nil
	})
}

// try repeats what servers without a leader refuse.
func (n *NATS) try(what string, ask func(context.Context) error) {
	n.tb.Helper()
	Succeeds(n.tb, what, natsTimeout, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return ask(ctx)
	})
}
