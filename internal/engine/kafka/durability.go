package kafka

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// What quorum asks for: two of three replicas have each record, so any one broker may be lost.
const (
	quorumReplicas = 3
	quorumInSync   = 2
)

// judge says why the topics do not do, each time with the command that mends it; nil if they do.
func (e *Engine) judge(l *layout) error {
	var remedies []string
	for k := range l.topics {
		if r := e.remedy(engine.Kind(k), &l.topics[k]); r != "" {
			remedies = append(remedies, r)
		}
	}
	if remedies == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", engine.ErrDurability, strings.Join(remedies, "; "))
}

// remedy is what is wrong with the topic and what to do, empty if it does.
func (e *Engine) remedy(k engine.Kind, t *topic) string {
	if len(t.partitions) == 0 {
		return fmt.Sprintf("there is no topic %s, or this user may not see it: create it (%s), or set "+
			"KAFKA_CREATE_TOPICS=true", t.name, e.createCommand(k, t))
	}
	if forbidden := t.forbidden(); forbidden != "" {
		return fmt.Sprintf("this user is not allowed %s on the topic %s: %s", forbidden, t.name, e.allowCommand(t, forbidden))
	}
	if k == engine.KindDeadLetter && t.settings != nil && !strings.Contains(t.settings["cleanup.policy"], "compact") {
		return fmt.Sprintf("the topic %s is not compacted, so a dead letter that is removed would stay: %s", t.name,
			e.alterCommand(t, "cleanup.policy=compact"))
	}
	if k != engine.KindDeadLetter && strings.Contains(t.settings["cleanup.policy"], "compact") {
		return fmt.Sprintf("the topic %s is compacted, which keeps only the newest record of each device: %s", t.name,
			e.alterCommand(t, "cleanup.policy=delete"))
	}
	if e.opt.Durability != Quorum {
		return ""
	}
	for i, p := range t.partitions {
		if p.err == nil && p.replicas < quorumReplicas {
			return fmt.Sprintf("partition %d of the topic %s has %d replicas and needs %d: give it more "+
				"(kafka-reassign-partitions.sh), or make it anew (%s), or set KAFKA_DURABILITY=leader to do with less",
				i, t.name, p.replicas, quorumReplicas, e.createCommand(k, t))
		}
	}
	if t.settings == nil {
		return fmt.Sprintf("this user may not see the settings of the topic %s, so nobody knows how many replicas an "+
			"answer stands for: allow it DescribeConfigs (%s), or set KAFKA_DURABILITY=leader", t.name,
			e.allowCommand(t, "DescribeConfigs"))
	}
	if n := t.number("min.insync.replicas"); n < quorumInSync {
		return fmt.Sprintf("the topic %s has min.insync.replicas %d, so a record may be acknowledged that one broker "+
			"alone has: %s, or set KAFKA_DURABILITY=leader to do with less", t.name, n,
			e.alterCommand(t, "min.insync.replicas=2"))
	}
	return ""
}

// forbidden is what this user has to do with the topic and may not, empty if nothing: Write, or Read, without which
// nobody finds out whether what was stored is still there. The client would not recover from a refusal by itself: the
// one who may write nowhere in the cluster gets no producer's id, and it never asks again.
func (t *topic) forbidden() string {
	switch {
	case t.allowed == nil:
		return ""
	case !slices.Contains(t.allowed, kadm.OpWrite):
		return "Write"
	case !slices.Contains(t.allowed, kadm.OpRead):
		return "Read"
	}
	return ""
}

// allowCommand allows this user an operation on the topic.
func (e *Engine) allowCommand(t *topic, operation string) string {
	user := "…"
	if e.opt.SASL.User != "" {
		user = e.opt.SASL.User
	}
	return fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal User:%s --operation %s --topic %s",
		e.opt.Brokers[0], user, operation, t.name)
}

// createCommand creates the topic as it should be.
func (e *Engine) createCommand(k engine.Kind, t *topic) string {
	replicas, inSync := quorumReplicas, quorumInSync
	if e.opt.Durability == Leader {
		replicas, inSync = 1, 1
	}
	command := fmt.Sprintf("kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d "+
		"--replication-factor %d", e.opt.Brokers[0], t.name, createdPartitions, replicas)
	for _, s := range e.createSettings(k, inSync) {
		command += fmt.Sprintf(" --config %s=%s", s.Name, s.Value)
	}
	return command
}

// alterCommand changes a setting of the topic.
func (e *Engine) alterCommand(t *topic, setting string) string {
	return fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s "+
		"--add-config %s", e.opt.Brokers[0], t.name, setting)
}

// class is what an answer stands for, by the weakest of the topics.
func (l *layout) class() engine.Class {
	class := engine.Replicated
	for k := range l.topics {
		t := &l.topics[k]
		switch {
		case t.replicas() >= 2 && t.number("min.insync.replicas") >= 2:
		case t.number("flush.messages") == 1 && class != engine.MemoryOnly:
			class = engine.Fsynced
		default:
			class = engine.MemoryOnly
		}
	}
	return class
}
