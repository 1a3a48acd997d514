package authority

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	// commandTimeout bounds the connecting and each answer.
	commandTimeout = 5 * time.Second
	// pageSize is about how many members an answer has: a millisecond of Redis' time, so that nobody else waits.
	pageSize = 2000
	// readings is how often a set that changes while it is read is read before it is taken all the same.
	readings = 3
)

var errSetChanging = errors.New("the set is being changed; fill another key and RENAME it")

// Redis is a list in a Redis set, one identifier a member. It needs the right to SCARD and SSCAN only.
//
// The set is read in pages. A set that changes meanwhile is read again, because its pages need not fit together;
// so it is best replaced by RENAME.
type Redis struct {
	key    string
	client *redis.Client
}

// The library prints some failures besides returning them; the returned ones are enough.
var quietLibrary = sync.OnceFunc(logging.Disable)

// NewRedis returns the list in the set with this key. url is redis:// or rediss:// (TLS), with user, password and
// database if needed. Redis is asked when the list is read, not before; the error is about the URL, and never quotes
// it.
func NewRedis(url, key, clientName string) (*Redis, error) {
	o, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	quietLibrary()
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = commandTimeout, commandTimeout, commandTimeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1 // the next refresh is the retry
	o.DialerRetries = 1
	o.PoolSize = 1
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.OnConnect = func(ctx context.Context, c *redis.Conn) error {
		_ = c.ClientSetName(ctx, clientName).Err() // nice to have; the right to it may lack
		return nil
	}
	return &Redis{key: key, client: redis.NewClient(o)}, nil
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

// String implements Source.
func (r *Redis) String() string { return "redis set " + r.key }

// Close implements Source.
func (r *Redis) Close() error { return r.client.Close() }

// read implements Source.
func (r *Redis) read(ctx context.Context, _ bool) (*set, error) {
	before, err := r.client.SCard(ctx, r.key).Result()
	if err != nil {
		return nil, err
	}
	for reading := 1; ; reading++ {
		next, err := r.scan(ctx, before)
		if err != nil {
			return nil, err
		}
		after, err := r.client.SCard(ctx, r.key).Result()
		if err != nil {
			return nil, err
		}
		found := int64(next.size() + next.skipped.count)
		switch {
		case before == after && found == after:
			return next, nil
		case reading < readings:
			before = after
		case nearly(found, max(before, after)):
			return next, nil // one more or less every moment; some time it has to be taken
		default:
			return nil, errSetChanging
		}
	}
}

// nearly reports whether not more than one in a hundred of all members is missing.
func nearly(found, members int64) bool { return found >= members-members/100 }

// scan reads all pages. A member may come more than once.
func (r *Redis) scan(ctx context.Context, members int64) (*set, error) {
	if members > maxDevices {
		return nil, errTooManyDevices
	}
	b := builder{numbers: make([]uint64, 0, members+members/64)}
	others := make(map[string]struct{}) // members that are no identifiers
	for cursor := uint64(0); ; {
		page, next, err := r.client.SScan(ctx, r.key, cursor, "", pageSize).Result()
		if err != nil {
			return nil, err
		}
		if err := r.addPage(&b, page, others); err != nil {
			return nil, err
		}
		if cursor = next; cursor == 0 {
			return b.build(), nil
		}
	}
}

func (r *Redis) addPage(b *builder, page []string, others map[string]struct{}) error {
	for _, member := range page {
		err := add(b, member)
		if err == nil {
			continue
		}
		if !errors.Is(err, errNotIdentifier) || len(others) > maxDevices {
			return errTooManyDevices
		}
		if _, again := others[member]; !again {
			others[member] = struct{}{}
			b.skipped.add(strconv.QuoteToASCII(member[:min(len(member), teltonika.MaxLoginLength)]))
		}
	}
	return nil
}
