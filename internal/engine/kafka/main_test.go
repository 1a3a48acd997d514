package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// broker is the one node that all tests share. Each has topics of its own.
var broker *testkit.Kafka

func TestMain(m *testing.M) {
	var err error
	if broker, err = testkit.StartKafka(1); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(closing{m})
}

// closing ends the broker before goroutines are counted.
type closing struct{ tests *testing.M }

func (c closing) Run() int {
	defer broker.Close()
	return c.tests.Run()
}

var lastTopic atomic.Int64

// newTopics makes the three topics of a test and returns the name of the first.
func newTopics(t testing.TB, on *testkit.Kafka, partitions int32, replicas int16, settings ...string) string {
	t.Helper()
	name := fmt.Sprintf("telemetry%d", lastTopic.Add(1))
	makeTopics(t, on, name, partitions, replicas, settings...)
	return name
}

func makeTopics(t testing.TB, on *testkit.Kafka, name string, partitions int32, replicas int16, settings ...string) {
	t.Helper()
	for _, topic := range []string{name, name + ".dead", name + ".messages"} {
		all := map[string]*string{}
		for i := 0; i < len(settings); i += 2 {
			all[settings[i]] = &settings[i+1]
		}
		if topic == name+".dead" {
			all["cleanup.policy"] = kadm.StringPtr("compact")
		}
		testkit.Succeeds(t, "create topic "+topic, testkit.Timeout, func() error {
			_, err := on.Admin.CreateTopic(t.Context(), partitions, replicas, all, topic)
			return err
		})
	}
	testkit.Eventually(t, "leaders of "+name, func() bool {
		if err := on.Err(); err != nil {
			t.Fatal(err)
		}
		all, err := on.Admin.ListTopics(context.Background(), name, name+".dead", name+".messages")
		led := 0
		for _, topic := range all {
			for _, p := range topic.Partitions {
				if p.Leader >= 0 && len(p.ISR) == int(replicas) {
					led++
				}
			}
		}
		return err == nil && led == 3*int(partitions)
	})
}

// open makes an engine on the topics; whoever asks for it closes it.
func open(t testing.TB, addrs []string, topic string, change ...func(*Options)) *Engine {
	t.Helper()
	o := Options{Brokers: addrs, Topic: topic, Durability: Leader, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
