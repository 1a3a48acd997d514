// Package redisdial takes from a URL where a Redis is and how to log in there: one server, the master that sentinels
// name, or a cluster.
package redisdial

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeout bounds each step to a connection, and each answer if the caller's context does not.
const Timeout = 5 * time.Second

// Where a server and a sentinel listen unless they are told otherwise.
const (
	serverPort   = "6379"
	sentinelPort = "26379"
)

// The library prints some failures besides returning them; the returned ones are enough.
var quietLibrary = sync.OnceFunc(logging.Disable)

// Target is the Redis of a URL.
type Target struct {
	// Server has credentials, database and TLS, and settings by which nothing is repeated and each command keeps its
	// caller's deadline. Its address is the one server's, empty where there are sentinels or a cluster.
	Server *redis.Options

	// Nodes are addresses of some of a cluster's nodes; none: it is no cluster.
	Nodes []string

	// Sentinels are the addresses of those that know the master; none: there is one server.
	Sentinels []string
	// Master is the name by which they know it.
	Master string

	sentinelUser, sentinelPassword string
}

// Parse takes the Target of one Redis from a URL, which is that of a server or of sentinels; see ParseAny. A cluster is
// refused: what several keys have to do with one another cannot be kept in one.
func Parse(raw string) (*Target, error) {
	t, err := ParseAny(raw)
	if err == nil && len(t.Nodes) > 0 {
		return nil, errors.New("a Redis Cluster cannot be used for this; it takes an ordinary Redis, " +
			"redis://user:password@host:6379/0, or one with sentinels")
	}
	return t, err
}

// ParseAny takes a Target from a URL. Its errors never quote it, because the password is in it. The forms are
//
//	redis://user:password@host:6379/0
//	redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0
//	redis+cluster://user:password@host1:6379,host2:6379
//
// all with rediss for TLS. User and password are those of the servers; sentinels that want some too get them from the
// query, ?sentinel_username=…&sentinel_password=….
func ParseAny(raw string) (*Target, error) {
	scheme, rest, _ := strings.Cut(raw, "://")
	var t *Target
	var err error
	switch scheme {
	case "redis", "rediss":
		t, err = parseServer(raw)
	case "redis+sentinel", "rediss+sentinel":
		t, err = parseSentinels(strings.TrimSuffix(scheme, "+sentinel"), rest)
	case "redis+cluster", "rediss+cluster":
		t, err = parseCluster(strings.TrimSuffix(scheme, "+cluster"), rest)
	default:
		err = errors.New("the redis URL's scheme is not redis, redis+sentinel, redis+cluster or one with rediss")
	}
	if err != nil {
		return nil, errors.New(err.Error() + "; it looks like redis://user:password@host:6379/0, " +
			"redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0 or " +
			"redis+cluster://user:password@host1:6379,host2:6379, " +
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

// parseHosts reads what stands behind the scheme. The hosts are a list, which no other URL has; the URL comes back with
// another host in their place.
func parseHosts(scheme, rest, defaultPort string) (hosts []string, u *url.URL, err error) {
	list, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		list, path = rest[:i], rest[i:]
	}
	user := ""
	if i := strings.LastIndex(list, "@"); i >= 0 {
		user, list = list[:i+1], list[i+1:]
	}
	if u, err = url.Parse(scheme + "://" + user + "hosts" + path); err != nil {
		return nil, nil, errors.New("the redis URL cannot be parsed")
	}
	for host := range strings.SplitSeq(list, ",") {
		address, err := hostAddress(host, defaultPort)
		if err != nil {
			return nil, nil, err
		}
		hosts = append(hosts, address)
	}
	return hosts, u, nil
}

// withHosts makes a Target of the URL that parseHosts has returned.
func withHosts(u *url.URL) (*Target, error) {
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errors.New("the redis URL has a bad database number or query")
	}
	o.Addr = ""
	if o.TLSConfig != nil {
		o.TLSConfig.ServerName = "" // each server's own
	}
	return &Target{Server: o}, nil
}

func parseSentinels(scheme, rest string) (*Target, error) {
	hosts, u, err := parseHosts(scheme, rest, sentinelPort)
	if err != nil {
		return nil, err
	}
	master, database, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if master == "" {
		return nil, errors.New("the redis URL names no master behind its sentinels")
	}
	query := u.Query()
	user, password := query.Get("sentinel_username"), query.Get("sentinel_password")
	query.Del("sentinel_username")
	query.Del("sentinel_password")
	u.Path, u.RawPath, u.RawQuery = "/"+cmp.Or(database, "0"), "", query.Encode()
	t, err := withHosts(u)
	if err != nil {
		return nil, err
	}
	t.Sentinels, t.Master, t.sentinelUser, t.sentinelPassword = hosts, master, user, password
	return t, nil
}

func parseCluster(scheme, rest string) (*Target, error) {
	hosts, u, err := parseHosts(scheme, rest, serverPort)
	if err != nil {
		return nil, err
	}
	t, err := withHosts(u)
	if err != nil {
		return nil, err
	}
	if t.Server.DB != 0 {
		return nil, errors.New("the redis URL names a database, of which a cluster has one")
	}
	t.Nodes = hosts
	return t, nil
}

// hostAddress adds the usual port if there is none.
func hostAddress(host, defaultPort string) (string, error) {
	if host == "" {
		return "", errors.New("the redis URL has an empty name among its hosts")
	}
	if name, port, err := net.SplitHostPort(host); err == nil && name != "" && port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", errors.New("the redis URL has a port among its hosts that is not from 1 to 65535")
		}
		return host, nil
	}
	bare := strings.Trim(host, "[]")
	if strings.Contains(bare, ":") && net.ParseIP(bare) == nil {
		return "", errors.New("the redis URL has a bad address among its hosts")
	}
	return net.JoinHostPort(bare, defaultPort), nil
}

// Client returns a client of the one server, or of whichever one the sentinels name. It connects when it is used.
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

// Reader returns a client that goes wherever a key is, for what is read only.
func (t *Target) Reader() redis.UniversalClient {
	if len(t.Nodes) == 0 {
		return t.Client()
	}
	o := t.Server
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: slices.Clone(t.Nodes), OnConnect: o.OnConnect, Protocol: o.Protocol, Username: o.Username,
		Password: o.Password, MaxRetries: o.MaxRetries, DialerRetries: o.DialerRetries, DialTimeout: o.DialTimeout,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, PoolTimeout: o.PoolTimeout,
		ContextTimeoutEnabled: o.ContextTimeoutEnabled, PoolSize: o.PoolSize, TLSConfig: o.TLSConfig,
		DisableIdentity: o.DisableIdentity, MaintNotificationsConfig: o.MaintNotificationsConfig,
	})
}

// Node returns a client of one of a cluster's nodes.
func (t *Target) Node(address string) *redis.Client {
	o := *t.Server
	o.Addr, o.PoolSize = address, 1
	return redis.NewClient(&o)
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
