package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// layout is what the brokers say of the three topics.
type layout struct {
	cluster string
	topics  [engine.Kinds]topic
	wrong   error // why nothing is stored before somebody changes a topic or a setting; engine.ErrDurability
	asked   time.Time
	configs time.Time // when the topics' settings were asked for
}

// topic is one topic. Without partitions there is none.
type topic struct {
	name       string
	id         kadm.TopicID
	partitions []partition
	settings   map[string]string   // nil if this user may not see them
	allowed    []kadm.ACLOperation // what this user may do with it; nil if the broker does not tell
}

type partition struct {
	leader   int32 // -1 = none
	replicas int
	inSync   int
	err      error
}

// How long the topics' settings are believed, and how often a topic that is wrong is asked for again.
const (
	settingsAge = 10 * time.Second
	wrongAge    = time.Second
)

// kindOf is what the topic is for.
func (e *Engine) kindOf(topic string) engine.Kind {
	return engine.Kind(slices.Index(e.topics[:], topic))
}

func (t *topic) number(setting string) int64 {
	n, _ := strconv.ParseInt(t.settings[setting], 10, 64)
	return n
}

// batchBytes is the topic's max.message.bytes, within the client's bounds.
func (t *topic) batchBytes() int32 {
	n := t.number("max.message.bytes")
	if n == 0 {
		n = usualBatchBytes
	}
	return int32(min(max(n, smallestBatchBytes), largestBatchBytes))
}

// ask asks the brokers for the topics, creates missing ones if it is to, and judges what there is. The error says that
// nobody has answered.
func (e *Engine) ask(ctx context.Context) (*layout, error) {
	select {
	case e.asking <- struct{}{}:
		defer func() { <-e.asking }()
	case <-ctx.Done():
		return nil, ended(ctx, "kafka has not answered others yet")
	}
	l, err := e.describe(ctx)
	if err == nil && e.opt.CreateTopics && l.missing() != "" {
		if err = e.create(ctx, l); err == nil {
			l, err = e.describe(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	l.wrong = e.judge(l)
	before := e.layout.Swap(l)
	e.tellClient(before, l)
	return l, nil
}

// current is the layout, asked for where there is none, or one that is wrong and may have been mended.
func (e *Engine) current(ctx context.Context) (*layout, error) {
	l := e.layout.Load()
	if l != nil && (l.wrong == nil || time.Since(l.asked) < wrongAge) {
		return l, nil
	}
	return e.ask(ctx)
}

// describe reads names, partitions and settings of the topics.
func (e *Engine) describe(ctx context.Context) (*layout, error) {
	m, err := e.admin.Metadata(kadm.WithAuthorizedOps(ctx), e.topics[:]...)
	if err != nil {
		return nil, err
	}
	l := &layout{cluster: m.Cluster, asked: time.Now()}
	for k, name := range e.topics {
		detail := m.Topics[name]
		t := topic{name: name, id: detail.ID, allowed: detail.AuthorizedOperations}
		for _, p := range detail.Partitions.Sorted() {
			t.partitions = append(t.partitions, partition{p.Leader, len(p.Replicas), len(p.ISR), p.Err})
		}
		l.topics[k] = t
	}
	return l, e.describeSettings(ctx, l)
}

// describeSettings reads the settings of the topics, or takes them over from what was read a moment ago.
func (e *Engine) describeSettings(ctx context.Context, l *layout) error {
	before := e.layout.Load()
	if before != nil && before.wrong == nil && time.Since(before.configs) < settingsAge && before.sameTopics(l) {
		l.configs = before.configs
		for k := range l.topics {
			l.topics[k].settings = before.topics[k].settings
		}
		return nil
	}
	l.configs = time.Now()
	all, err := e.admin.DescribeTopicConfigs(ctx, e.topics[:]...)
	if err != nil {
		return err
	}
	for k := range l.topics {
		r, err := all.On(l.topics[k].name, nil)
		if err = cmp.Or(err, r.Err); errors.Is(err, kerr.TopicAuthorizationFailed) || len(l.topics[k].partitions) == 0 {
			continue
		}
		if err != nil {
			return fmt.Errorf("settings of the topic %s: %w", l.topics[k].name, err)
		}
		l.topics[k].settings = map[string]string{}
		for _, c := range r.Configs {
			l.topics[k].settings[c.Key] = c.MaybeValue()
		}
	}
	return nil
}

// sameTopics reports whether no topic has been made anew.
func (l *layout) sameTopics(other *layout) bool {
	for k := range l.topics {
		if l.topics[k].id != other.topics[k].id {
			return false
		}
	}
	return true
}

// missing is the name of a topic that is not there, empty if all are.
func (l *layout) missing() string {
	for k := range l.topics {
		if len(l.topics[k].partitions) == 0 {
			return l.topics[k].name
		}
	}
	return ""
}

// tellClient has the client look anew at topics that have got more partitions.
func (e *Engine) tellClient(before, now *layout) {
	if before == nil {
		return
	}
	for k := range now.topics {
		was, is := &before.topics[k], &now.topics[k]
		if was.id == is.id && len(was.partitions) != len(is.partitions) {
			e.client.ForceMetadataRefresh()
		}
	}
}

// renew has the client forget a topic that was deleted and made anew: it has given up what it held for it, and writes
// to it no more. Whoever has seen an earlier renewal comes too late: others write to the new topic already.
func (e *Engine) renew(k engine.Kind, seen int64) {
	e.renewing.Lock()
	defer e.renewing.Unlock()
	if e.renewed[k].Load() != seen {
		return
	}
	e.log.Warn("kafka topic was deleted and made anew, what was in it is gone", "topic", e.topics[k])
	e.client.PurgeTopicsFromProducing(e.topics[k])
	e.renewed[k].Add(1)
}

// What topics are created with.
const (
	createdPartitions = 12
	createdReplicas   = quorumReplicas
)

// createSettings are those that a topic is created with.
func (e *Engine) createSettings(k engine.Kind, inSync int) []engine.Fact {
	all := []engine.Fact{{Name: "min.insync.replicas", Value: strconv.Itoa(inSync)}}
	bound := func(bytes int64) {
		if bytes > 0 {
			all = append(all, engine.Fact{Name: "retention.bytes", Value: strconv.FormatInt(bytes/createdPartitions, 10)})
		}
	}
	switch k {
	case engine.KindDeadLetter:
		all = append(all, engine.Fact{Name: "cleanup.policy", Value: cleanup(k)},
			engine.Fact{Name: "retention.ms", Value: "-1"})
		bound(e.opt.DeadMaxBytes)
	case engine.KindMessage:
		bound(e.opt.MessageMaxBytes)
	}
	return all
}

// create makes the topics that are missing. On fewer than three brokers it makes as many replicas as there can be,
// which KAFKA_DURABILITY=quorum then refuses.
func (e *Engine) create(ctx context.Context, l *layout) error {
	brokers, err := e.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	replicas := min(createdReplicas, len(brokers))
	for k := range l.topics {
		if len(l.topics[k].partitions) > 0 {
			continue
		}
		settings := map[string]*string{}
		for _, s := range e.createSettings(engine.Kind(k), max(1, min(quorumInSync, replicas-1))) {
			settings[s.Name] = &s.Value
		}
		name := l.topics[k].name
		r, err := e.admin.CreateTopic(ctx, createdPartitions, int16(replicas), settings, name)
		if err != nil && r.Err == nil {
			return err
		}
		if r.Err != nil && !isAlreadyThere(r.Err) {
			return fmt.Errorf("create topic %s: %w", name, r.Err)
		}
		if r.Err == nil {
			e.log.Info("kafka topic created", "topic", name, "partitions", createdPartitions, "replicas", replicas)
		}
	}
	return e.awaitCreated(ctx)
}

// awaitCreated waits until the brokers know the topics: the one that is asked next may not be the one that made them.
func (e *Engine) awaitCreated(ctx context.Context) error {
	for {
		l, err := e.describe(ctx)
		if err == nil && l.missing() == "" || err != nil && !kerr.IsRetriable(err) {
			return err
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ended(ctx, "the topics have been created and are not there yet")
		}
	}
}
