package redisstore

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

// commandTimeout bounds the connecting and each answer, the waiting for new entries apart.
const commandTimeout = 5 * time.Second

// poolSize is how many calls are under way at once; more wait for one another.
const poolSize = 16

// The library prints some failures besides returning them; the returned ones are enough.
var quietLibrary = sync.OnceFunc(logging.Disable)

// dialOptions takes address, credentials, database and TLS from the URL. Its errors never quote it, because the
// password is in it.
func dialOptions(raw, clientName string) (*redis.Options, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, errors.New("not a redis:// or rediss:// URL")
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, errors.New("a bad host, database number or query in the redis URL")
	}
	quietLibrary()
	o.DialTimeout, o.ReadTimeout = commandTimeout, commandTimeout
	o.WriteTimeout, o.PoolTimeout = commandTimeout, commandTimeout
	o.ContextTimeoutEnabled = true
	o.PoolSize = poolSize
	o.MaxRetries = -1 // whoever asks decides
	o.DialerRetries = 1
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.OnConnect = func(ctx context.Context, c *redis.Conn) error {
		_ = c.ClientSetName(ctx, clientName).Err() // nice to have; the right to it may lack
		return nil
	}
	return o, nil
}
