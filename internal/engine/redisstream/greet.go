package redisstream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
)

// client is a connection as Redis sees it. A process behind the same address may have any other
// id, and another life of Redis gives the same ids again; both together name one connection.
type client struct{ id, address string }

// greet logs in, and finds out who we are to Redis and whether the durability can be had, so that
// nothing is written that could never be confirmed.
func (l *lane) greet(ctx context.Context) error {
	if err := l.conn.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	stop := deadline.Until(ctx, l.conn)
	err := l.introduce()
	if err == nil {
		l.confirm, err = l.agree()
	}
	if err == nil {
		err = l.agreeMarks()
	}
	if !stop() {
		return fmt.Errorf("connecting to redis: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("connecting to redis: %w", err)
	}
	return l.conn.SetDeadline(time.Time{})
}

func (l *lane) introduce() error {
	t := l.e.target.Server
	if t.Password != "" || t.Username != "" {
		auth := []string{"AUTH", t.Password}
		if t.Username != "" {
			auth = []string{"AUTH", t.Username, t.Password}
		}
		if _, err := l.ask(auth...); err != nil {
			return err
		}
	}
	if t.DB != 0 {
		if _, err := l.ask("SELECT", strconv.Itoa(t.DB)); err != nil {
			return err
		}
	}
	// Without the right to these two, or on a Redis that has no CLIENT INFO, only the name is
	// missing in lists, and a resend after a lost connection may be stored twice.
	if _, err := l.ask("CLIENT", "SETNAME", l.e.opt.ClientName); err != nil && !optional(err) {
		return err
	}
	info, err := l.ask("CLIENT", "INFO")
	if err != nil && !optional(err) {
		return err
	}
	l.self = parseClient(string(info.text))
	return nil
}

// optional says whether Redis has refused a command that can be done without.
func optional(err error) bool {
	answer, ok := asRefusal(err)
	if !ok {
		return false
	}
	code := answer.code()
	return code == "NOPERM" || code == "ERR" && !answer.transient()
}

// ask sends one command and reads its answer, of an array its length only.
func (l *lane) ask(args ...string) (reply, error) {
	if _, err := l.conn.Write(appendCommand(nil, args...)); err != nil {
		return reply{}, err
	}
	answer, err := readReply(l.in)
	if err != nil {
		return reply{}, err
	}
	return answer, answer.err()
}

// parseClient reads CLIENT INFO: id=7 addr=127.0.0.1:41234 laddr=… name=… ….
func parseClient(info string) client {
	var c client
	for _, field := range strings.Fields(info) {
		if id, ok := strings.CutPrefix(field, "id="); ok {
			c.id = id
		}
		if address, ok := strings.CutPrefix(field, "addr="); ok {
			c.address = address
		}
	}
	return c
}
