package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/jetstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/kafka"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/redisstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const device = "356307042441013"

// kinds are the names of messages in the AsyncAPI document, and how many the tests store of each.
var kinds = map[string]int{"record": 3, "message": 2, "deadLetter": 2}

// store stores the golden records of Codecs 7, 8E and 16, messages and dead letters.
func store(t *testing.T, e engine.Engine) {
	t.Helper()
	b := &engine.Batch{}
	for _, name := range []string{"codec7-position", "codec16", "list-of-words"} {
		payload := goldenRecords(t)["../format/testdata/"+name+"/record.json"][0]
		var r struct {
			Device    string    `json:"device_id"`
			ID        string    `json:"id"`
			Codec     string    `json:"codec"`
			Timestamp time.Time `json:"timestamp"`
		}
		if err := json.Unmarshal(payload, &r); err != nil {
			t.Fatal(err)
		}
		b.Records = append(b.Records, engine.Record{
			DeviceID: r.Device, Codec: r.Codec, Timestamp: r.Timestamp.UnixMilli(), ID: []byte(r.ID), Payload: payload,
			Time: r.Timestamp.AppendFormat(nil, "2006-01-02T15:04:05.000Z"),
		})
		if r.Device != device {
			t.Fatalf("%s is of %s", name, r.Device)
		}
	}
	for n := range 2 {
		b.Messages = append(b.Messages, enginetest.NewMessage(device, n))
		b.DeadLetters = append(b.DeadLetters, enginetest.NewDeadLetter(device, n))
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	testkit.Succeeds(t, "store", testkit.Timeout, func() error {
		return e.Store(ctx, e.Lane(device), enginetest.Sized(b))
	})
	for _, r := range b.Results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// channel is one of the AsyncAPI document.
type channel struct {
	name, kind string
	object     map[string]any
}

// channels are those of a server.
func channels(t *testing.T, server string) (all []channel) {
	t.Helper()
	for name, object := range apitest.Strict().Document("asyncapi.json")["channels"].(map[string]any) {
		c := channel{name: name, object: object.(map[string]any)}
		for kind := range c.object["messages"].(map[string]any) {
			c.kind = kind
		}
		if strings.Contains(text(t, c.object["servers"]), "#/servers/"+server+`"`) {
			all = append(all, c)
		}
	}
	if len(all) < len(kinds) {
		t.Fatalf("%d channels of %s", len(all), server)
	}
	return all
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// address is where the channel is, with values for its parameters.
func (c *channel) address(t *testing.T, parameters ...string) string {
	t.Helper()
	address := c.object["address"].(string)
	if setting, ok := c.object["x-setting"].(string); ok {
		i := slices.IndexFunc(config.Settings, func(s config.Setting) bool { return s.Name == setting })
		if i < 0 || !strings.HasPrefix(address, config.Settings[i].Default) {
			t.Errorf("%s: %s is not at the default of %s", c.name, address, setting)
		}
	}
	return strings.NewReplacer(parameters...).Replace(address)
}

// check holds what a channel has to the document: so many as were stored, each as its message says.
func (c *channel) check(t *testing.T, found []map[string]any) {
	t.Helper()
	if want, ok := kinds[c.kind]; ok && len(found) != want || len(found) == 0 {
		t.Errorf("%s: %d found", c.name, len(found))
	}
	to := c.object["messages"].(map[string]any)[c.kind].(map[string]any)["$ref"].(string)
	for _, m := range found {
		for part, value := range m {
			apitest.Strict().CheckValue(t, "asyncapi.json"+to+"/"+part, value)
		}
		parts := append(slices.Collect(maps.Keys(m)), "bindings/kafka/key")
		for _, part := range []string{"payload/schema", "headers/schema", "bindings/kafka/key"} {
			if apitest.Strict().At("asyncapi.json"+to+"/"+part) != nil && !slices.Contains(parts, part) {
				t.Errorf("%s: %s is in the document, and not there", c.name, part)
			}
		}
	}
}

// asJSON is a value of that content type.
func asJSON(t *testing.T, c *channel, b []byte) any {
	t.Helper()
	to := c.object["messages"].(map[string]any)[c.kind].(map[string]any)["$ref"].(string)
	if apitest.Strict().At("asyncapi.json"+to+"/contentType") != "application/json" {
		return string(b)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return json.RawMessage(b)
}

func TestRedisIsAsDocumented(t *testing.T) {
	r := testkit.StartRedis(t)
	e, err := redisstream.New(redisstream.Options{URL: r.URL(), Stream: "telemetry:teltonika"})
	if err != nil {
		t.Fatal(err)
	}
	store(t, e)
	for _, c := range channels(t, "redis") {
		c.check(t, entries(r.Do("XRANGE", c.address(t), "-", "+")))
	}
}

// TestRedisClusterIsAsDocumented: the names of the keys are other ones.
func TestRedisClusterIsAsDocumented(t *testing.T) {
	cluster := testkit.StartRedisCluster(t, 3, 0, 15*time.Second)
	e, err := redisstream.New(redisstream.Options{URL: cluster.URL(), Stream: "telemetry:teltonika", Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	store(t, e)
	client := cluster.Client()
	defer client.Close()
	for _, c := range channels(t, "redisCluster") {
		found, err := client.Do(t.Context(), "XRANGE", c.address(t, "{shard}", "{0}"), "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		c.check(t, entries(found))
	}
}

// entries are those of a stream, with their fields as one object.
func entries(answer any) (found []map[string]any) {
	for _, entry := range answer.([]any) {
		fields := entry.([]any)[1].([]any)
		payload := map[string]any{}
		for i := 0; i < len(fields); i += 2 {
			payload[fields[i].(string)] = fields[i+1]
		}
		found = append(found, map[string]any{"payload/schema": payload})
	}
	return found
}

func TestKafkaIsAsDocumented(t *testing.T) {
	broker, err := testkit.StartKafka(1)
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	e, err := kafka.New(kafka.Options{Brokers: broker.Addrs(), Topic: "telemetry.teltonika", CreateTopics: true,
		Durability: kafka.Leader, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	store(t, e)
	for _, c := range channels(t, "kafka") {
		var found []map[string]any
		for _, r := range broker.Contents(t, c.address(t)) {
			headers := map[string]string{}
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			found = append(found, map[string]any{"payload/schema": asJSON(t, &c, r.Value), "headers/schema": headers,
				"bindings/kafka/key": string(r.Key)})
		}
		c.check(t, found)
	}
}

func TestJetStreamIsAsDocumented(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	e, err := jetstream.New(jetstream.Options{URL: n.URL(), Shards: 1, Durability: jetstream.Leader, Create: true,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	store(t, e)
	streams := map[string]string{
		"record": "TELEMETRY_0", "message": "TELEMETRY_MESSAGES_0", "deadLetter": "TELEMETRY_DEAD_0",
	}
	for _, c := range channels(t, "nats") {
		subject := c.address(t, "{shard}", "0", "{device}", device)
		consumer, err := n.JetStream().OrderedConsumer(t.Context(), streams[c.kind],
			natsjs.OrderedConsumerConfig{FilterSubjects: []string{subject}})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := consumer.Fetch(kinds[c.kind], natsjs.FetchMaxWait(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		var found []map[string]any
		for m := range batch.Messages() {
			headers := map[string]string{}
			for name, values := range m.Headers() {
				if !strings.HasPrefix(name, "Nats-") { // the server's own
					headers[name] = values[0]
				}
			}
			found = append(found, map[string]any{"payload/schema": asJSON(t, &c, m.Data()), "headers/schema": headers})
		}
		c.check(t, found)
	}
}
