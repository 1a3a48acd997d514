package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// kafkaStore starts a broker, and has the server make the topics.
func kafkaStore(t testing.TB) store {
	k := startKafka(t)
	return store{
		name:     "kafka",
		settings: kafkaOn(k, t.TempDir(), "KAFKA_CREATE_TOPICS=true"),
		payloads: func(t testing.TB) (all []string) {
			for _, r := range k.Contents(t, "telemetry.teltonika") {
				all = append(all, string(r.Value))
			}
			return all
		},
		messages: func(t testing.TB) (all []string) {
			for _, r := range k.Contents(t, "telemetry.teltonika.messages") {
				all = append(all, fmt.Sprintf("%s-%s", r.Key, r.Value))
			}
			return all
		},
	}
}

func startKafka(t testing.TB) *testkit.Kafka {
	t.Helper()
	k, err := testkit.StartKafka(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// kafkaOn are the settings for one broker, and more.
func kafkaOn(k *testkit.Kafka, dir string, more ...string) map[string]string {
	settings := map[string]string{
		"ENGINE": "kafka", "KAFKA_BROKERS": strings.Join(k.Addrs(), ","), "KAFKA_DURABILITY": "leader", "DATA_DIR": dir,
	}
	for _, setting := range more {
		name, value, _ := strings.Cut(setting, "=")
		settings[name] = value
	}
	return settings
}

func makeTopics(t testing.TB, k *testkit.Kafka) {
	t.Helper()
	for name, settings := range map[string]map[string]*string{
		"telemetry.teltonika": nil, "telemetry.teltonika.messages": nil,
		"telemetry.teltonika.dead": {"cleanup.policy": kadm.StringPtr("compact")},
	} {
		if _, err := k.Admin.CreateTopic(context.Background(), 4, 1, settings, name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKafkaFromCheckToDeadLetters is an operator's first day: check says what is missing, serve waits and says so too,
// and goes on without a restart once it is there.
func TestKafkaFromCheckToDeadLetters(t *testing.T) {
	k := startKafka(t)
	settings := kafkaOn(k, t.TempDir())
	const remedy = "kafka-topics.sh --bootstrap-server"
	code, out, errOut := execute(t, settings, "", "check")
	if code != exitFailure || !strings.Contains(errOut, remedy) || !strings.Contains(errOut, "KAFKA_DURABILITY=leader") {
		t.Errorf("check without topics: exit %d\n%s\n%s", code, out, errOut)
	}
	s := startServer(t, settings)
	testkit.Eventually(t, "/readyz that says what is missing", func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, remedy)
	})
	makeTopics(t, k)
	testkit.EventuallyIn(t, "/readyz once the topics are there", readySoon, func() bool {
		status, _ := s.get("/readyz")
		return status == http.StatusOK
	})

	d := testkit.Dial(t, s.devices)
	d.MustLogin("356307042441013")
	d.Send(realTraffic(t)[0])
	d.ExpectACK(realRecords(t))
	d.Send(undecodable(t))
	d.ExpectACK(1)

	code, out, errOut = execute(t, settings, "", "check")
	if code != 0 || !strings.Contains(out, "records:    ") || !strings.Contains(out, "one replica") {
		t.Errorf("check: exit %d\n%s\n%s", code, out, errOut)
	}
	code, out, errOut = execute(t, settings, "", "deadletters", "list")
	if code != 0 || !strings.Contains(out, "356307042441013") || !strings.Contains(out, "malformed") {
		t.Errorf("deadletters: exit %d\n%s\n%s", code, out, errOut)
	}
	s.wantBalance()
	if n := s.metric("telemetry_shards_unavailable"); n != 0 {
		t.Errorf("%v shards unavailable", n)
	}
}

// realRecords is how many records the first frame of the real traffic has.
func realRecords(t testing.TB) int {
	t.Helper()
	return int(realTraffic(t)[0].Body()[1])
}

// undecodable is a frame with a right CRC whose one record is too short.
func undecodable(t testing.TB) []byte {
	t.Helper()
	body := []byte{byte(teltonika.Codec8), 1, 0, 0, 0, 1}
	return teltonika.AppendFrame(nil, body)
}
