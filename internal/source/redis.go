package source

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// commandTimeout bounds the connecting and each answer.
	commandTimeout = 5 * time.Second
	// PageSize is about how many entries an answer has: a millisecond of Redis' time, so that nobody else waits.
	PageSize = 2000
	// readings is how often what changes while it is read is read before it is taken all the same.
	readings = 3
)

var errKeyChanging = errors.New("the key is being changed; fill another key and RENAME it")

// The library prints some failures besides returning them; the returned ones are enough.
var quietLibrary = sync.OnceFunc(logging.Disable)

// DialRedis returns a client with one connection that repeats nothing. rawURL is redis:// or rediss:// (TLS), with
// user, password and database if needed. Redis is asked when the client is used, not before; the error is about the
// URL, and never quotes it.
func DialRedis(rawURL, clientName string) (*redis.Client, error) {
	o, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	quietLibrary()
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = commandTimeout, commandTimeout, commandTimeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1 // the next reading is the retry
	o.DialerRetries = 1
	o.PoolSize = 1
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.OnConnect = func(ctx context.Context, c *redis.Conn) error {
		_ = c.ClientSetName(ctx, clientName).Err() // nice to have; the right to it may lack
		return nil
	}
	return redis.NewClient(o), nil
}

func parseURL(raw string) (*redis.Options, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, errors.New("not a redis:// or rediss:// URL")
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, errors.New("a bad host, database number or query in the redis URL")
	}
	return o, nil
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
