package kafka

import (
	"context"
	"fmt"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Inspect reads the topics' settings and says what they promise. It fails if no broker answers, and if the topics are
// not what the configured durability asks for.
func (e *Engine) Inspect(ctx context.Context) (engine.Durability, error) {
	l, err := e.ask(ctx)
	if err != nil {
		return engine.Durability{}, e.classify(err)
	}
	d := engine.Durability{Engine: l.name(), Class: l.class(), Facts: l.facts(), Warnings: e.warnings(l)}
	if l.wrong != nil {
		return d, e.classify(l.wrong)
	}
	return d, nil
}

func (l *layout) name() string {
	if strings.HasPrefix(l.cluster, "redpanda.") {
		return "Redpanda, cluster " + l.cluster
	}
	return "Kafka, cluster " + l.cluster
}

// shown are the topics' settings that matter.
var shown = []string{
	"min.insync.replicas", "cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes",
	"unclean.leader.election.enable",
}

func (l *layout) facts() (all []engine.Fact) {
	for k := range l.topics {
		t := &l.topics[k]
		if len(t.partitions) == 0 {
			continue
		}
		size := fmt.Sprintf("%d partitions, %d replicas", len(t.partitions), t.replicas())
		all = append(all, engine.Fact{Name: t.name, Value: size})
		for _, name := range shown {
			if v, known := t.settings[name]; known {
				all = append(all, engine.Fact{Name: t.name + " " + name, Value: v})
			}
		}
		if t.settings == nil {
			all = append(all, engine.Fact{Name: t.name + " settings", Value: "not visible to this user"})
		}
	}
	return all
}

// replicas is how many each partition has at the least.
func (t *topic) replicas() int {
	fewest := maxReplicas
	for _, p := range t.partitions {
		if p.err == nil {
			fewest = min(fewest, p.replicas)
		}
	}
	return fewest
}

// maxReplicas is more than any topic has.
const maxReplicas = 1 << 15

// growth is how much larger than its frame a record's document may be: elements of no length are four bytes on the wire
// and 28 in JSON, and RECORD_RAW adds the bytes once more.
const growth = 9

// warnings are what an operator should change, each with the remedy.
func (e *Engine) warnings(l *layout) (all []string) {
	if m := e.opt.SASL.Mechanism; (m == "PLAIN" || m == "OAUTHBEARER") && !e.opt.TLS.On {
		all = append(all, "the password or token crosses the network in clear: set KAFKA_TLS=true")
	}
	for k := range l.topics {
		t := &l.topics[k]
		if len(t.partitions) == 0 {
			continue
		}
		all = append(all, e.warningsOf(t)...)
		if engine.Kind(k) != engine.KindRecord && t.settings != nil &&
			(!strings.Contains(t.settings["cleanup.policy"], "delete") || t.number("retention.bytes") <= 0) {
			all = append(all, fmt.Sprintf("topic %s: nothing bounds its bytes: %s", t.name,
				e.alterCommand(t, "cleanup.policy=["+cleanup(engine.Kind(k))+"],retention.bytes=BYTES_OF_EACH_PARTITION")))
		}
	}
	return all
}

func cleanup(k engine.Kind) string {
	if k == engine.KindDeadLetter {
		return "compact,delete"
	}
	return "delete"
}

func (e *Engine) warningsOf(t *topic) (all []string) {
	warn := func(applies bool, format string, args ...any) {
		if applies {
			all = append(all, fmt.Sprintf("topic %s: ", t.name)+fmt.Sprintf(format, args...))
		}
	}
	replicas, inSync := t.replicas(), int(t.number("min.insync.replicas"))
	warn(replicas == 1, "one replica: while its broker is down its devices are not acknowledged, and what the broker had "+
		"not written to disk is lost with its machine's power: use three brokers and KAFKA_DURABILITY=quorum")
	warn(replicas > 1 && inSync == 1, "min.insync.replicas is 1: a record may be acknowledged that one broker alone "+
		"has: %s", e.alterCommand(t, "min.insync.replicas=2"))
	warn(replicas > 1 && inSync == replicas, "min.insync.replicas is the number of replicas: one broker that is down "+
		"stops everything: %s", e.alterCommand(t, fmt.Sprintf("min.insync.replicas=%d", replicas-1)))
	warn(t.settings["unclean.leader.election.enable"] == "true",
		"a replica that lacks acknowledged records may become the leader: %s",
		e.alterCommand(t, "unclean.leader.election.enable=false"))
	if most := int(t.batchBytes()); t.settings != nil && e.opt.LargestFrame > 0 {
		needed := growth * e.opt.LargestFrame
		warn(most < needed, "max.message.bytes is %d, and a record of a frame of MAX_FRAME_BYTES may need %d: those that do "+
			"become dead letters: %s", most, needed, e.alterCommand(t, fmt.Sprintf("max.message.bytes=%d", needed)))
	}
	warn(t.settings == nil, "its settings are not visible to this user: allow it DescribeConfigs")
	return all
}
