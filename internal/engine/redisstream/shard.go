package redisstream

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// shard is three streams that are at one server, and what is known of them. Without a cluster there is one.
type shard struct {
	e        *Engine
	name     string // its number; empty without a cluster
	seat     *seat
	stream   string // the records'; see deadStream and messageStream
	maxLen   int64  // its part of Options.MaxLen
	words    words
	log      *slog.Logger
	dead     *room
	messages *room
	down     atomic.Bool // a lane's connection failed and none has been made since
	unmarked atomic.Bool // it was said that Redis lets us mark nothing
	looking  sync.Mutex  // one lane looks for records at a time
	lookPage int         // entries to read at once, of that lane
}

func (e *Engine) newShard(name, stream string, at *seat) *shard {
	s := &shard{e: e, name: name, seat: at, stream: stream, words: newWords(stream), log: e.log, lookPage: lookPage}
	s.maxLen = s.part(e.opt.MaxLen)
	if name != "" {
		s.log = e.log.With("shard", name)
	}
	s.dead, s.messages = newDeadRoom(s), newMessageRoom(s)
	return s
}

// part is the shard's part of a limit of all; 0, which is none, stays 0.
func (s *shard) part(limit int64) int64 {
	n := int64(s.e.opt.Shards)
	return (limit + n - 1) / n
}

// client is for everything but the lanes' writes. While no server is known, every command fails with the reason.
func (s *shard) client(ctx context.Context) *redis.Client {
	t, err := s.seat.term(ctx)
	if err != nil {
		return s.seat.nobody
	}
	return t.client
}

// address is the server's, for people.
func (s *shard) address() string {
	if t := s.seat.present.Load(); t != nil {
		return t.address
	}
	return s.e.where()
}

// noteDown logs the first failure of a lane after a time in which all was well.
func (s *shard) noteDown(err error) {
	if s.down.CompareAndSwap(false, true) {
		s.log.Warn("redis connection failed", "error", s.classify(err))
	}
}

// noteUp logs the first success of a lane after a failure.
func (s *shard) noteUp() {
	if s.down.Load() && s.down.CompareAndSwap(true, false) {
		s.log.Info("redis connection works again")
	}
}

// The keys of a shard's streams.
func (s *shard) recordStream() string  { return s.stream }
func (s *shard) deadStream() string    { return deadStream(s.stream) }
func (s *shard) messageStream() string { return messageStream(s.stream) }

// ref names an entry: its id, in a cluster behind the shard's number and a dash.
func (s *shard) ref(id string) string {
	if s.name == "" {
		return id
	}
	return s.name + "-" + id
}

// parseRef reads what ref returns.
func (e *Engine) parseRef(ref string) (s *shard, id string, err error) {
	s, id = e.shards[0], ref
	if s.name != "" {
		var number string
		number, id, _ = strings.Cut(ref, "-")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= len(e.shards) {
			id = "" // which is none
		} else {
			s = e.shards[n]
		}
	}
	if _, err := parseStreamID(id); err != nil {
		return nil, "", fmt.Errorf("%q is no dead letter's reference, which looks like %s", ref, s.ref("1700000000000-0"))
	}
	return s, id, nil
}
