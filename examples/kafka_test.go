package examples

import (
	"context"
	"database/sql"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const topic = "telemetry.teltonika"

// consumers are two readers of an example, which write into one database.
type consumers struct {
	*example
	settings      []string
	database      string
	first, second *run
}

// TestKafka has two readers of each example, while a fleet sends. One is killed, and the other one gets its partitions.
func TestKafka(t *testing.T) {
	t.Parallel()
	kafka, err := testkit.StartKafka(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	brokers := "KAFKA_BROKERS=" + strings.Join(kafka.Addrs(), ",")
	s := serve(t, "ENGINE=kafka", brokers, "KAFKA_DURABILITY=leader", "KAFKA_CREATE_TOPICS=true", "DATA_DIR="+t.TempDir())
	stop := s.fleet("--devices", "20", "--rate", "200", "--reconnect", "0.05")

	groups := map[string]*consumers{"example-go": {example: newExample(t, "kafka-go")},
		"example-python": {example: newExample(t, "kafka-python")}}
	for _, c := range groups {
		c.database = filepath.Join(t.TempDir(), "records.db")
		c.settings = []string{brokers, "DATABASE=" + c.database}
		c.first = c.start(c.settings...)
	}
	for _, c := range groups {
		c.first.await(200)
		c.second = c.start(c.settings...)
	}
	for _, c := range groups {
		c.second.await(100)
		c.first.kill()
	}
	for _, c := range groups {
		c.second.await(len(c.second.records()) + 300)
	}
	acknowledged := stop()
	stored := published(t, kafka)
	if len(stored) != acknowledged {
		t.Errorf("%d records were acknowledged and %d are stored", acknowledged, len(stored))
	}
	for group, c := range groups {
		testkit.Eventually(t, "the group has no lag", func() bool {
			lags, err := kafka.Admin.Lag(context.Background(), group)
			return err == nil && lags.Error() == nil && lags[group].Lag.Total() == 0
		})
		handled := rows(t, c.database)
		if !maps.EqualFunc(byDevice(handled), byDevice(stored), slices.Equal[[]string]) {
			t.Errorf("%s: the %d rows are not the %d records in each device's order", group, len(handled), len(stored))
		}
	}
}

// published is what the topic has.
func published(t *testing.T, kafka *testkit.Kafka) (all []record) {
	t.Helper()
	for _, r := range kafka.Contents(t, topic) {
		all = append(all, records(t, []string{string(r.Value)})...)
	}
	return all
}

// rows are the records of a consumer's database, in the order in which it has stored them.
func rows(t *testing.T, path string) []record {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query("SELECT payload FROM records ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var payloads []string
	for found.Next() {
		var payload string
		if err := found.Scan(&payload); err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, payload)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return records(t, payloads)
}
