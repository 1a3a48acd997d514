package source

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/redisdial"
)

const (
	// PageSize is about how many entries an answer has: a millisecond of Redis' time, so that nobody else waits.
	PageSize = 2000
	// readings is how often what changes while it is read is read before it is taken all the same.
	readings = 3
)

var errKeyChanging = errors.New("the key is being changed; fill another key and RENAME it")

// DialRedis returns a client with one connection that repeats nothing. rawURL is one of package redisdial. Redis is
// asked when the client is used, not before; the error is about the URL, and never quotes it.
func DialRedis(rawURL, clientName string) (*redis.Client, error) {
	target, err := redisdial.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	target.Server.PoolSize = 1
	return target.Named(clientName).Client(), nil
}

// ReadPages reads what a key holds in pages. What changes meanwhile is read again, because its pages need not fit
// together. count is how many entries the key has. scan reads all pages and returns how many different entries they
// had; it is told how many there should be.
func ReadPages[T any](
	ctx context.Context, count func(context.Context) (int64, error),
	scan func(ctx context.Context, entries int64) (value T, found int64, err error),
) (none T, err error) {
	before, err := count(ctx)
	if err != nil {
		return none, err
	}
	for reading := 1; ; reading++ {
		value, found, err := scan(ctx, before)
		if err != nil {
			return none, err
		}
		after, err := count(ctx)
		switch {
		case err != nil:
			return none, err
		case before == after && found == after:
			return value, nil
		case reading < readings:
			before = after
		case nearly(found, max(before, after)):
			return value, nil // one more or less every moment; some time it has to be taken
		default:
			return none, errKeyChanging
		}
	}
}

// nearly reports whether not more than one in a hundred of all entries is missing.
func nearly(found, entries int64) bool { return found >= entries-entries/100 }
