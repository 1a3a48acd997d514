package authority

import (
	"context"
	"errors"
	"strconv"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/source"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Redis is a list in a Redis set, one identifier a member. It needs the right to SCARD and SSCAN only.
//
// The set is read in pages. A set that changes meanwhile is read again, because its pages need not fit together;
// so it is best replaced by RENAME.
type Redis struct {
	key    string
	client *redis.Client
}

// NewRedis returns the list in the set with this key, in the Redis of source.DialRedis.
func NewRedis(url, key, clientName string) (*Redis, error) {
	client, err := source.DialRedis(url, clientName)
	if err != nil {
		return nil, err
	}
	return &Redis{key: key, client: client}, nil
}

// String implements Source.
func (r *Redis) String() string { return "redis set " + r.key }

// Close implements Source.
func (r *Redis) Close() error { return r.client.Close() }

// Read implements Source.
func (r *Redis) Read(ctx context.Context, _ bool) (*set, error) {
	members := func(ctx context.Context) (int64, error) { return r.client.SCard(ctx, r.key).Result() }
	return source.ReadPages(ctx, members, r.scan)
}

// scan reads all pages. A member may come more than once.
func (r *Redis) scan(ctx context.Context, members int64) (_ *set, found int64, err error) {
	if members > maxDevices {
		return nil, 0, errTooManyDevices
	}
	b := builder{numbers: make([]uint64, 0, members+members/64)}
	others := make(map[string]struct{}) // members that are no identifiers
	for cursor := uint64(0); ; {
		page, next, err := r.client.SScan(ctx, r.key, cursor, "", source.PageSize).Result()
		if err != nil {
			return nil, 0, err
		}
		if err := r.addPage(&b, page, others); err != nil {
			return nil, 0, err
		}
		if cursor = next; cursor == 0 {
			s := b.build()
			return s, int64(s.size() + s.skipped.count), nil
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
