// Package redisdial takes from a URL where a Redis is and how to log in there: one server, or the master that
// sentinels name.
package redisdial

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeout bounds each step to a connection, and each answer if the caller's context does not.
const Timeout = 5 * time.Second

// sentinelPort is where a sentinel listens unless it is told otherwise.
const sentinelPort = "26379"

// The library prints some failures besides returning them; the returned ones are enough.
var quietLibrary = sync.OnceFunc(logging.Disable)

// Target is the Redis of a URL.
type Target struct {
	// Server has credentials, database and TLS, and settings by which nothing is repeated and each command keeps its
	// caller's deadline. Its address is the one server's, empty where there are sentinels.
	Server *redis.Options

	// Sentinels are the addresses of those that know the master; none: there is one server.
	Sentinels []string
	// Master is the name by which they know it.
	Master string

	sentinelUser, sentinelPassword string
}

// Parse takes a Target from a URL. Its errors never quote it, because the password is in it. The forms are
//
//	redis://user:password@host:6379/0
//	redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0
//
// both with rediss for TLS. User and password are those of the servers; sentinels that want some too get them from the
// query, ?sentinel_username=…&sentinel_password=….
func Parse(raw string) (*Target, error) {
	scheme, rest, _ := strings.Cut(raw, "://")
	var t *Target
	var err error
	switch scheme {
	case "redis", "rediss":
		t, err = parseServer(raw)
	case "redis+sentinel", "rediss+sentinel":
		t, err = parseSentinels(strings.TrimSuffix(scheme, "+sentinel"), rest)
	case "redis+cluster", "rediss+cluster":
		err = errors.New("a Redis Cluster cannot be used")
	default:
		err = errors.New("the redis URL's scheme is not redis, rediss, redis+sentinel or rediss+sentinel")
	}
	if err != nil {
		return nil, errors.New(err.Error() + "; it looks like redis://user:password@host:6379/0 or " +
			"redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0, " +
			"with reserved characters of the password percent-encoded")
	}
	quietLibrary()
	o := t.Server
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = Timeout, Timeout, Timeout, Timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1   // whoever asks decides
	o.DialerRetries = 1 // so a probe learns at once
	o.Protocol = 2
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return t, nil
}

func parseServer(raw string) (*Target, error) {
	if _, err := url.Parse(raw); err != nil {
		return nil, errors.New("the redis URL cannot be parsed")
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return nil, errors.New("the redis URL has a bad host, database number or query")
	}
	return &Target{Server: o}, nil
}

// parseSentinels reads what stands behind the scheme. The hosts are a list, which no other URL has.
func parseSentinels(scheme, rest string) (*Target, error) {
	hosts, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		hosts, path = rest[:i], rest[i:]
	}
	user := ""
	if i := strings.LastIndex(hosts, "@"); i >= 0 {
		user, hosts = hosts[:i+1], hosts[i+1:]
	}
	u, err := url.Parse(scheme + "://" + user + "sentinels" + path)
	if err != nil {
		return nil, errors.New("the redis URL cannot be parsed")
	}
	master, database, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if master == "" {
		return nil, errors.New("the redis URL names no master behind its sentinels")
	}
	query := u.Query()
	t := &Target{
		Master:       master,
		sentinelUser: query.Get("sentinel_username"), sentinelPassword: query.Get("sentinel_password"),
	}
	query.Del("sentinel_username")
	query.Del("sentinel_password")
	for host := range strings.SplitSeq(hosts, ",") {
		address, err := sentinelAddress(host)
		if err != nil {
			return nil, err
		}
		t.Sentinels = append(t.Sentinels, address)
	}
	u.Path, u.RawPath, u.RawQuery = "/"+cmp.Or(database, "0"), "", query.Encode()
	if t.Server, err = redis.ParseURL(u.String()); err != nil {
		return nil, errors.New("the redis URL has a bad database number or query")
	}
	t.Server.Addr = ""
	if t.Server.TLSConfig != nil {
		t.Server.TLSConfig.ServerName = "" // each server's own
	}
	return t, nil
}

// sentinelAddress adds the usual port if there is none.
func sentinelAddress(host string) (string, error) {
	if host == "" {
		return "", errors.New("the redis URL has an empty name among its sentinels")
	}
	if name, port, err := net.SplitHostPort(host); err == nil && name != "" && port != "" {
		return host, nil
	}
	bare := strings.Trim(host, "[]")
	if strings.Contains(bare, ":") && net.ParseIP(bare) == nil {
		return "", errors.New("the redis URL has a bad address among its sentinels")
	}
	return net.JoinHostPort(bare, sentinelPort), nil
}

// Client returns a client of the server, or of whichever one the sentinels name. It connects when it is used.
func (t *Target) Client() *redis.Client {
	o := *t.Server
	if len(t.Sentinels) == 0 {
		return redis.NewClient(&o)
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: t.Master, SentinelAddrs: slices.Clone(t.Sentinels),
		SentinelUsername: t.sentinelUser, SentinelPassword: t.sentinelPassword,
		OnConnect: o.OnConnect, Protocol: o.Protocol, Username: o.Username, Password: o.Password, DB: o.DB,
		MaxRetries: o.MaxRetries, DialerRetries: o.DialerRetries, DialTimeout: o.DialTimeout,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, PoolTimeout: o.PoolTimeout,
		ContextTimeoutEnabled: o.ContextTimeoutEnabled, PoolSize: o.PoolSize, TLSConfig: o.TLSConfig,
		DisableIdentity: o.DisableIdentity,
	})
}

// Sentinel returns a client of one of the sentinels.
func (t *Target) Sentinel(address string) *redis.SentinelClient {
	o := t.Server
	return redis.NewSentinelClient(&redis.Options{
		Addr: address, Username: t.sentinelUser, Password: t.sentinelPassword, Protocol: o.Protocol,
		MaxRetries: o.MaxRetries, DialerRetries: o.DialerRetries, DialTimeout: o.DialTimeout,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, ContextTimeoutEnabled: true, PoolSize: 1,
		TLSConfig: o.TLSConfig, DisableIdentity: o.DisableIdentity, MaintNotificationsConfig: o.MaintNotificationsConfig,
	})
}

// Named has its connections shown under a name in CLIENT LIST. A name is nice to have; the right to it may lack.
func (t *Target) Named(name string) *Target {
	t.Server.OnConnect = func(ctx context.Context, c *redis.Conn) error {
		_ = c.ClientSetName(ctx, name).Err()
		return nil
	}
	return t
}

// Redact hides the passwords: a Redis that does not know AUTH quotes its arguments.
func (t *Target) Redact(text string) string {
	for _, password := range []string{t.Server.Password, t.sentinelPassword} {
		if password != "" {
			text = strings.ReplaceAll(text, password, "***")
		}
	}
	return text
}
