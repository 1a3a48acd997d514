package redisstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

const (
	readBatch = 100             // entries of one answer
	readBlock = 5 * time.Second // for how long one question for new entries waits
)

// reader takes commands from the stream of this instance and from the inbox.
type reader struct {
	store    *Store
	receiver command.Receiver
	ready    bool // the groups are there, and all that was delivered before has been looked at
}

// read closes its client when ctx ends, which is how the waiting ends then.
func (s *Store) read(ctx context.Context, r command.Receiver) {
	stop := context.AfterFunc(ctx, func() { _ = s.blocking.Close() })
	defer stop()
	reader := reader{store: s, receiver: r}
	s.repeat(ctx, workRead, nil, reader.work)
}

// work reads once. After a failure it begins from the beginning, because Redis may count as delivered what never came
// here, or may have lost the groups and everything else.
func (r *reader) work(ctx context.Context) (time.Duration, error) {
	var err error
	if r.ready {
		err = r.follow(ctx)
	} else {
		err = r.recover(ctx)
	}
	r.ready = err == nil
	if err != nil {
		r.store.reregister()
	}
	if streamGone(err) {
		return 0, nil
	}
	return 0, err
}

// streamGone reports whether a stream or its group has been removed while it was read.
func streamGone(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "NOGROUP ") || strings.HasPrefix(err.Error(), "UNBLOCKED "))
}

func (r *reader) streams() []string {
	return []string{outboundStream(r.store.opt.Instance), inboxStream}
}

// recover makes sure of the groups, which begin with the oldest entry, and looks at what was delivered and is not done.
func (r *reader) recover(ctx context.Context) error {
	for _, stream := range r.streams() {
		err := r.store.client.XGroupCreateMkStream(ctx, stream, group, "0").Err()
		if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP ") {
			return err
		}
	}
	for _, stream := range r.streams() {
		for after := "0"; after != ""; {
			last, err := r.ask(ctx, -1, stream, after)
			if err != nil {
				return err
			}
			after = last
		}
	}
	return nil
}

// follow waits for new entries.
func (r *reader) follow(ctx context.Context) error {
	_, err := r.ask(ctx, readBlock, append(r.streams(), ">", ">")...)
	return err
}

// ask reads entries and hands them on. It returns the last one's id, "" if there was none. Without a time to wait it
// does not.
func (r *reader) ask(ctx context.Context, wait time.Duration, streams ...string) (last string, err error) {
	answer, err := r.store.blocking.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: group, Consumer: r.store.opt.Instance, Streams: streams, Count: readBatch, Block: wait,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	for _, stream := range answer {
		for _, m := range stream.Messages {
			if err := r.store.handle(ctx, r.receiver, stream.Stream, m); err != nil {
				return "", err
			}
			last = m.ID
		}
	}
	return last, err
}

// handle does what an entry of this instance's stream or of the inbox asks for.
func (s *Store) handle(ctx context.Context, r command.Receiver, stream string, m redis.XMessage) error {
	if m.Values == nil { // removed, yet counted as delivered
		return s.client.XAck(ctx, stream, group, m.ID).Err()
	}
	in := parseInbound(m)
	switch {
	case in.older != "" && stream != inboxStream:
		return s.takenOver(ctx, r, stream, m.ID, &in)
	case in.err != nil:
		s.opt.Logger.Warn("malformed command entry", "stream", stream, "entry", m.ID, "reason", in.reason())
		return s.reject(ctx, r, stream, m.ID, &in, in.reason())
	case in.cancel:
		e, done, err := s.cancel(ctx, in.ID, stream, m.ID)
		if done {
			r.Finished(e)
		}
		if errors.Is(err, command.ErrUnknown) {
			return nil
		}
		return err
	case stream == inboxStream && r.Unreachable(ctx, in.IMEI):
		return s.reject(ctx, r, stream, m.ID, &in, command.ReasonUnreachable)
	case stream == inboxStream:
		_, err := s.route(ctx, r, stream, m.ID, "", &in)
		return err
	}
	args := append([]any{stream, m.ID}, commandArgs(&in.Command)...)
	answer, err := s.eval(ctx, scriptTake, append(args, s.opt.MaxOpen)...)
	switch e := fieldsOf(answer).entry(); {
	case answer == nil:
	case e.State.Final():
		r.Finished(e)
	default:
		r.Receive(e)
	}
	return err
}

// route takes the command of an entry to where its device is, or to its end, and reports whether it did. dead is the
// instance whose stream it is, if it is that of a dead one.
func (s *Store) route(ctx context.Context, r command.Receiver, stream, entry, dead string, in *inbound) (bool, error) {
	args := append([]any{stream, entry, dead}, commandArgs(&in.Command)...)
	answer, err := s.eval(ctx, scriptRoute, append(args, s.opt.MaxOpen)...)
	if ended := list(answer); ended != nil {
		r.Finished(fieldsOf(ended).entry())
		return true, err
	}
	return number(answer) == 1, err
}

// maxEcho is how much of a field that is wrong its result repeats, in bytes.
const maxEcho = command.MaxIDLength

// reject ends an entry that is no command, or none that can be carried out.
func (s *Store) reject(
	ctx context.Context, r command.Receiver, stream, entry string, in *inbound, reason string,
) error {
	id, imei := in.ID[:min(len(in.ID), maxEcho)], in.IMEI[:min(len(in.IMEI), maxEcho)]
	answer, err := s.eval(ctx, scriptReject, stream, entry, id, imei, reason, flag(in.named()))
	if err != nil {
		return err
	}
	if answer != nil {
		r.Finished(fieldsOf(answer).entry())
	}
	return nil
}
