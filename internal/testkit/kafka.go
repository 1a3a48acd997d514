//go:build linux

package testkit

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaVersion is that of kafka/pom.xml.
const kafkaVersion = "4.4.0"

// kafkaTimeout is how long brokers may take to start, to answer or to stop.
const kafkaTimeout = 60 * time.Second

// Kafka is a cluster of real brokers on free loopback ports. A broker takes seconds to start, so a package starts one
// in TestMain and its tests have topics of their own. Each broker has a second listener, whose advertised address is
// that of a Relay, which breaks and hangs what a fault of the network would.
type Kafka struct {
	Admin *kadm.Client // of the test's own
	id    string       // no other cluster's, so that a broker never joins one which has got its port
	nodes []*kafkaNode
	dir   string
}

type kafkaNode struct {
	direct, behind, controller int // ports
	relay                      *Relay
	file, data                 string
	run                        *process // nil while it is down
}

// StartKafka starts so many brokers, with more settings for each, "name=value". Whoever starts them calls Close.
func StartKafka(nodes int, settings ...string) (*Kafka, error) {
	if _, err := os.Stat(kafkaHome("lib")); err != nil {
		return nil, fmt.Errorf("these tests run a real Kafka broker and there is none: make tools (%w)", err)
	}
	k, err := startKafka(nodes, settings)
	if err != nil { // once more: somebody may have taken a port meanwhile
		var again error
		if k, again = startKafka(nodes, settings); again != nil {
			return nil, errors.Join(err, again)
		}
	}
	return k, nil
}

func startKafka(nodes int, settings []string) (*Kafka, error) {
	dir, err := os.MkdirTemp("", "kafka")
	if err != nil {
		return nil, err
	}
	var id [16]byte
	crand.Read(id[:])
	k := &Kafka{dir: dir, id: base64.RawURLEncoding.EncodeToString(id[:])}
	if err := k.begin(nodes, settings); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func kafkaHome(name string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "tcp-ingestion-tools", "kafka-"+kafkaVersion, name)
}

func (k *Kafka) begin(nodes int, settings []string) error {
	for range nodes {
		n := &kafkaNode{}
		for _, port := range []*int{&n.direct, &n.behind, &n.controller} {
			var err error
			if *port, err = freePort(); err != nil {
				return err
			}
		}
		var err error
		if n.relay, err = NewRelay(local(n.behind)); err != nil {
			return err
		}
		k.nodes = append(k.nodes, n)
	}
	for i := range k.nodes {
		if err := k.configure(i, settings); err != nil {
			return err
		}
		if err := k.launch(i); err != nil {
			return err
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addrs()...), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.DisableClientMetrics(), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))
	if err != nil {
		return err
	}
	k.Admin = kadm.NewClient(client)
	return k.Await(nodes)
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// configure writes the node's files: a broker takes a directory with its id for formatted.
func (k *Kafka) configure(i int, settings []string) error {
	n := k.nodes[i]
	if n.data == "" {
		n.data = filepath.Join(k.dir, fmt.Sprint("data", i))
	}
	n.file = filepath.Join(k.dir, fmt.Sprintf("server%d.properties", i))
	if err := os.MkdirAll(n.data, 0o700); err != nil {
		return err
	}
	meta := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\n", k.id, i)
	if err := os.WriteFile(filepath.Join(n.data, "meta.properties"), []byte(meta), 0o600); err != nil {
		return err
	}
	var voters []string
	for j, other := range k.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s", j, local(other.controller)))
	}
	text := strings.Join(append([]string{
		"process.roles=broker,controller", fmt.Sprint("node.id=", i), "controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=DIRECT://%s,RELAY://%s,CONTROLLER://%s",
			local(n.direct), local(n.behind), local(n.controller)),
		fmt.Sprintf("advertised.listeners=DIRECT://%s,RELAY://%s", local(n.direct), n.relay.Addr()),
		"listener.security.protocol.map=DIRECT:PLAINTEXT,RELAY:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER", "inter.broker.listener.name=DIRECT", "log.dirs=" + n.data,
		"auto.create.topics.enable=false", "group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=1",
		fmt.Sprint("offsets.topic.replication.factor=", min(3, len(k.nodes))), "num.network.threads=2", "num.io.threads=4",
		"background.threads=2", "num.replica.fetchers=1", "log.cleaner.dedupe.buffer.size=4194304",
		"broker.session.timeout.ms=6000", "controlled.shutdown.max.retries=1",
	}, settings...), "\n")
	return os.WriteFile(n.file, []byte(text+"\n"), 0o600)
}

func (k *Kafka) launch(i int) (err error) {
	k.nodes[i].run, err = startProcess("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-XX:SharedArchiveFile="+kafkaHome("classes.jsa"), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", kafkaHome("lib")+"/*", "kafka.Kafka", k.nodes[i].file)
	return err
}

// Await waits until so many brokers serve.
func (k *Kafka) Await(brokers int) error {
	ctx, cancel := context.WithTimeout(context.Background(), kafkaTimeout)
	defer cancel()
	for {
		all, err := k.Admin.ListBrokers(ctx)
		if err == nil && len(all) >= brokers {
			return nil
		}
		if err := k.Err(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d brokers serve: %w\n%s", len(all), brokers, cmp.Or(err, ctx.Err()), k.Said())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Err says which broker has ended by itself, and with what words; nil if none has.
func (k *Kafka) Err() error {
	for i, n := range k.nodes {
		if n.run != nil && ended(n.run) {
			return fmt.Errorf("broker %d ended by itself\n%s", i, n.run.out.String())
		}
	}
	return nil
}

// Said is what the brokers that run have written so far.
func (k *Kafka) Said() string {
	var all strings.Builder
	for i, n := range k.nodes {
		if n.run != nil {
			fmt.Fprintf(&all, "broker %d:\n%s\n", i, n.run.out.String())
		}
	}
	return all.String()
}

func ended(p *process) bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Addrs are the brokers' own addresses.
func (k *Kafka) Addrs() (all []string) {
	for _, n := range k.nodes {
		all = append(all, local(n.direct))
	}
	return all
}

// RelayAddrs are the addresses behind which relays stand.
func (k *Kafka) RelayAddrs() (all []string) {
	for _, n := range k.nodes {
		all = append(all, n.relay.Addr())
	}
	return all
}

// Relay stands in front of a broker's second listener.
func (k *Kafka) Relay(node int) *Relay { return k.nodes[node].relay }

// Data is the directory of a broker's logs, one directory in it for each partition.
func (k *Kafka) Data(node int) string { return k.nodes[node].data }

// Ended reports whether a broker has ended by itself.
func (k *Kafka) Ended(node int) bool { return ended(k.nodes[node].run) }

// Kill ends a broker at once, as kill -9 does.
func (k *Kafka) Kill(node int) { k.end(node, syscall.SIGKILL) }

// Stop asks a broker to end, and waits until it has.
func (k *Kafka) Stop(node int) { k.end(node, syscall.SIGTERM) }

func (k *Kafka) end(node int, s syscall.Signal) {
	n := k.nodes[node]
	if n.run == nil {
		return
	}
	_ = syscall.Kill(n.run.pid, s)
	select {
	case <-n.run.exited:
	case <-time.After(kafkaTimeout):
		_ = syscall.Kill(n.run.pid, syscall.SIGKILL)
		<-n.run.exited
	}
	n.run = nil
}

// Start starts a broker that has ended, with its data. It does not wait until it serves.
func (k *Kafka) Start(node int) error { return k.launch(node) }

// Freeze stops a broker's process: its sockets stay open and nothing answers. Thaw lets it go on.
func (k *Kafka) Freeze(node int) { _ = freeze(k.nodes[node].run.pid) }

// Thaw lets a frozen broker go on.
func (k *Kafka) Thaw(node int) { _ = syscall.Kill(k.nodes[node].run.pid, syscall.SIGCONT) }

// Close ends all brokers and removes their files.
func (k *Kafka) Close() {
	if k.Admin != nil {
		k.Admin.Close()
	}
	for i, n := range k.nodes {
		k.Kill(i)
		n.relay.Close()
	}
	_ = os.RemoveAll(k.dir)
}

// Contents reads a whole topic with a client of the test's own, which knows nothing of the engine: partition by
// partition, each in its order.
func (k *Kafka) Contents(t testing.TB, topic string) (all []*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	ends, err := k.Admin.ListEndOffsets(ctx, topic)
	if err != nil || ends.Error() != nil {
		t.Fatalf("ends of %s: %v, %v", topic, err, ends.Error())
	}
	left := map[int32]int64{}
	from := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition], from[o.Partition] = o.Offset, kgo.NewOffset().AtStart()
		}
	})
	if len(left) == 0 {
		return nil
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(k.Addrs()...), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for len(left) > 0 {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
		if ctx.Err() != nil {
			t.Fatalf("read %s: %v; partitions %v are not at their ends", topic, ctx.Err(), left)
		}
	}
	slices.SortStableFunc(all, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	return all
}
