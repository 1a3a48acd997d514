package redisstream

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// When a connection is lost, nobody knows how much of its batch Redis has stored. Before it writes
// again the lane makes sure that the lost connection can store nothing more. If the same batch comes
// again, it reads what has come into the streams since before the batch.

const (
	scanPage  = 1000    // entries read at once
	scanLimit = 100_000 // entries read in all
)

// find learns where the streams end, once in a lane's life: what this lane writes comes after.
func (l *lane) find(ctx context.Context) error {
	for _, p := range l.positions() {
		if err := p.find(ctx, l.term.client); err != nil {
			return err
		}
	}
	return nil
}

func (p *position) find(ctx context.Context, c redis.Cmdable) error {
	if len(p.newest) > 0 && !p.elsewhere {
		return nil
	}
	last, err := c.XRevRangeN(ctx, p.key, "+", "-", 1).Result()
	if answer, ok := asRefusal(err); ok && !answer.transient() {
		return nil // no right to read, or no stream: resends cannot be recognised
	}
	if err != nil {
		return err
	}
	end := "0-0"
	if len(last) > 0 {
		end = last[0].ID
	}
	p.endsAt(end)
	return nil
}

// endsAt notes the newest entry of a stream. One that ends before what was confirmed to this lane has lost that.
func (p *position) endsAt(end string) {
	known := len(p.newest) > 0
	p.elsewhere = false
	if !known || before(end, p.newest) {
		p.newest = append(p.newest[:0], end...)
		p.gone = known
	}
	if len(p.before) == 0 || before(end, p.before) {
		p.before = append(p.before[:0], end...)
	}
}

// before says whether an id is lower than another.
func before(a string, b []byte) bool {
	x, _ := parseStreamID(a)
	y, _ := parseStreamID(string(b))
	return x != y && lower(x, y) == x
}

// moveTo begins with another server. The connection that was lost is one of the old server: what that still stores is
// thrown away when it becomes a replica. Where the streams end there is found out anew, because ids that follow may be
// lower than those which the old one gave for what is lost.
func (l *lane) moveTo() {
	l.lost = client{}
	for _, p := range l.positions() {
		p.elsewhere = true
	}
}

// markStored reports those items of the batch as duplicates that an earlier attempt has stored.
func (l *lane) markStored(ctx context.Context, b *engine.Batch) error {
	records, deadLetters, messages := b.ByKind()
	if err := l.scan(ctx, &l.records, wantedBy(b.Records, recordKey), records); err != nil {
		return err
	}
	if err := l.scan(ctx, &l.deadLetters, wantedBy(b.DeadLetters, deadLetterKey), deadLetters); err != nil {
		return err
	}
	return l.scan(ctx, &l.messages, wantedBy(b.Messages, messageKey), messages)
}

// wantedBy says which items a key stands for.
func wantedBy[T any](items []T, key func(*T) string) map[string][]int {
	wanted := make(map[string][]int, len(items))
	for i := range items {
		k := key(&items[i])
		wanted[k] = append(wanted[k], i)
	}
	return wanted
}

// killLost ends the lost connection at Redis's side. A Redis that was frozen, or is slow, may
// still have commands of it to read, and would store them after we have looked.
func (l *lane) killLost(ctx context.Context) error {
	if l.lost.id == "" {
		return nil
	}
	err := l.term.client.ClientKillByFilter(ctx, "ID", l.lost.id, "ADDR", l.lost.address).Err()
	if err != nil && !optional(err) {
		return err
	}
	l.lost = client{}
	return nil
}

// scan reads the stream from before the batch and marks the wanted items that are found: each
// entry is one item.
func (l *lane) scan(ctx context.Context, p *position, wanted map[string][]int, results []engine.Result) error {
	if len(p.before) == 0 || len(wanted) == 0 {
		return nil
	}
	after := string(p.before)
	for read := 0; read < scanLimit; read += scanPage {
		page, err := l.term.client.XRangeN(ctx, p.key, "("+after, "+", scanPage).Result()
		if answer, ok := asRefusal(err); ok && !answer.transient() {
			return nil // then writing says what is wrong, or the items are written again
		}
		if err != nil {
			return err
		}
		for _, entry := range page {
			k := allFields(entry.Values)
			if items := wanted[k]; len(items) > 0 {
				results[items[0]].Duplicate = true
				wanted[k] = items[1:]
				p.newest = append(p.newest[:0], entry.ID...) // confirmed by this
			}
		}
		if len(page) < scanPage {
			return nil
		}
		after = page[len(page)-1].ID
	}
	l.shard.log.Warn("too much was stored since a lost connection to find its records, they may be stored twice",
		"entries", scanLimit)
	return nil
}

// recordKey is all of a record, as its entry's fields have it.
func recordKey(r *engine.Record) string {
	return allFields(map[string]any{
		"ts": string(r.Time), "device_id": r.DeviceID, "codec": r.Codec, "payload": string(r.Payload),
	})
}

// deadLetterKey is all of a dead letter, as its entry's fields have it.
func deadLetterKey(d *engine.DeadLetter) string {
	return allFields(map[string]any{
		"ts": d.Received.UTC().Format(timeLayout), "device_id": d.DeviceID, "reason": d.Reason,
		"codec": d.Codec, "frame": hex.EncodeToString(d.Frame), "transport": d.Transport,
	})
}

// messageKey is all of a message, as its entry's fields have it.
func messageKey(m *engine.Message) string {
	fields := map[string]any{
		"ts": m.Received.UTC().Format(timeLayout), "device_id": m.DeviceID, "codec": m.Codec,
		"type": strconv.Itoa(int(m.Type)), "sent": "", "payload": hex.EncodeToString(m.Payload),
	}
	if !m.Sent.IsZero() {
		fields["sent"] = m.Sent.UTC().Format(timeLayout)
	}
	return allFields(fields)
}

// allFields is an entry's fields as one text, each behind its length.
func allFields(fields map[string]any) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value, _ := fields[name].(string)
		fmt.Fprintf(&b, "%s %d %s\n", name, len(value), value)
	}
	return b.String()
}

// confirmFound makes sure of a batch of which nothing is left to write, if Redis has to be asked whether all is on disk
// or on the replicas. WAIT and WAITAOF answer that only for what comes before a write on the same connection: that of a
// device's mark. Where there are no marks, and no other way, an item is written twice, a record if there is one: its
// readers know it by its id.
func (l *lane) confirmFound(ctx context.Context, b *engine.Batch) error {
	if !l.confirm.waits || b.Len() == 0 {
		return nil
	}
	found := -1
	for i := range b.Results {
		if !isSettled(&b.Results[i]) {
			return nil
		}
		if found < 0 && b.Results[i].Duplicate {
			found = i
		}
	}
	if found < 0 {
		return nil
	}
	if l.marker.on && len(b.Records) > 0 {
		l.marker.claim(b.Records[found%len(b.Records)].DeviceID)
		return nil
	}
	known, err := l.replicated(ctx)
	if err != nil {
		l.fail(err)
	}
	if known || err != nil {
		return err
	}
	last := len(b.Results) - 1
	if n := len(b.Records); n > 0 {
		last = n - 1
	}
	b.Results[last].Duplicate = false
	return nil
}
