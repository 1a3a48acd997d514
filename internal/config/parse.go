package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func oneOf(v string, values ...string) error {
	if slices.Contains(values, v) {
		return nil
	}
	values = slices.DeleteFunc(values, func(s string) bool { return s == "" })
	return fmt.Errorf("use %s", strings.Join(values, " or "))
}

func parseInt[T int | int64](dst *T, v string, low, high int64) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < low || n > high {
		return fmt.Errorf("use a whole number from %d to %d", low, high)
	}
	*dst = T(n)
	return nil
}

func parseBool(dst *bool, v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return errors.New("use true or false")
	}
	*dst = b
	return nil
}

func parseDuration(dst *time.Duration, v string, low, high time.Duration) error {
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		return errors.New("use a duration with its unit, such as 500ms, 20s or 30m")
	case d < low:
		return fmt.Errorf("use a duration of at least %v", low)
	case d > high:
		return fmt.Errorf("use a duration of at most %v", high)
	}
	*dst = d
	return nil
}

// parseRetention reads how long records are kept: 0 for ever, or time enough for somebody to read them.
func parseRetention(dst *time.Duration, v string) error {
	if err := parseDuration(dst, v, 0, forever); err != nil {
		return err
	}
	if *dst != 0 && *dst < time.Minute {
		return errors.New("use at least 1m, or 0 to keep records for ever")
	}
	return nil
}

func parseMillis(dst *time.Duration, v string) error {
	var ms int64
	if err := parseInt(&ms, v, 1, 3_600_000); err != nil {
		return err
	}
	*dst = time.Duration(ms) * time.Millisecond
	return nil
}

// levelFatal stands above every other level; see the logging package.
const levelFatal = slog.LevelError + 4

// ParseLevel reads a log level by its name, as LOG_LEVEL and the file of LOG_LEVEL_FILE have it.
func ParseLevel(v string) (slog.Level, error) {
	var level slog.Level
	return level, parseLevel(&level, strings.TrimSpace(v))
}

func parseLevel(dst *slog.Level, v string) error {
	levels := map[string]slog.Level{"fatal": levelFatal, "error": slog.LevelError, "warn": slog.LevelWarn,
		"info": slog.LevelInfo, "debug": slog.LevelDebug}
	level, ok := levels[strings.ToLower(v)]
	if !ok {
		return errors.New("use fatal, error, warn, info or debug")
	}
	*dst = level
	return nil
}

var instanceID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func parseInstanceID(dst *string, v string) error {
	if v == "" {
		var b [4]byte
		rand.Read(b[:])
		v = fmt.Sprintf("local-%x", b)
	}
	if !instanceID.MatchString(v) {
		return errors.New("use 1 to 64 letters, digits, dots, dashes and underscores")
	}
	*dst = v
	return nil
}

func parseAddresses(dst *string, v string) error {
	for entry := range strings.SplitSeq(v, ",") {
		host := strings.Trim(strings.TrimSpace(entry), "[]")
		address, _, _ := strings.Cut(host, "%")
		if v != "" && host != "localhost" && net.ParseIP(address) == nil {
			return errors.New("use IP addresses of this machine, such as 127.0.0.1 or ::, without a port")
		}
	}
	*dst = v
	return nil
}

// portOff is a listener that is not opened.
const portOff = -1

func parseOptionalPort(dst *int, v string) error {
	if v == "" || v == "off" {
		*dst = portOff
		return nil
	}
	if parseInt(dst, v, 0, 65535) != nil {
		return errors.New("use a whole number from 0 to 65535, or off")
	}
	return nil
}

// parseLoopback takes only addresses that no other machine reaches: profiles show what is in memory.
func parseLoopback(dst *string, v string) error {
	if v == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil || port == "" {
		return errors.New("use a loopback address and a port, such as 127.0.0.1:6060")
	}
	if !isLoopback(host) {
		return errors.New("use a loopback address: profiles must not be reachable from other machines")
	}
	*dst = v
	return nil
}

// DefaultAdminAddress is where the API is if nobody says otherwise.
const DefaultAdminAddress = "127.0.0.1:9091"

// adminOff is the value of ADMIN_ADDRESS that turns the API off.
const adminOff = "off"

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$`)

func parseAdminAddress(dst *string, v string) error {
	if v == adminOff {
		return nil
	}
	host, port, err := net.SplitHostPort(v)
	if err == nil && host != "" && net.ParseIP(host) == nil && !hostname.MatchString(host) {
		err = errors.New("not a host")
	}
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil {
		return errors.New("use an address and a port, such as 127.0.0.1:9091, or off")
	}
	*dst = v
	return nil
}

// minToken is how many characters make a token that nobody guesses.
const minToken = 16

func parseAdminToken(dst *string, v string) error {
	if v == "" {
		return nil
	}
	visible := !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(v) < minToken || !visible {
		return fmt.Errorf("use at least %d random characters of visible ASCII, such as those of: openssl rand -hex 32",
			minToken)
	}
	*dst = v
	return nil
}

// isLoopback reports whether only this machine reaches a host; an empty one is all addresses.
func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func parseRedisURL(dst *string, v string) error {
	if v == "" {
		return nil
	}
	if scheme, _, _ := strings.Cut(v, "://"); strings.HasSuffix(scheme, "+sentinel") || isCluster(v) {
		*dst = v // a list of hosts, which whoever connects to them reads
		return nil
	}
	u, err := url.Parse(v)
	switch {
	case err != nil:
		// The parser's error quotes the URL, and with it the password.
		return errors.New("not a URL; use redis://user:password@host:6379/0, with special characters in the password " +
			"percent-encoded")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return errors.New("use the scheme redis://, redis+sentinel:// or redis+cluster://, for TLS one with rediss")
	case u.Hostname() == "":
		return errors.New("no host; use redis://host:6379")
	case wrongPort(u):
		return errors.New("the port is not from 1 to 65535; use redis://host:6379")
	}
	*dst = v
	return nil
}

// wrongPort reports whether a URL has a port that no server can have.
func wrongPort(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() != "" && (err != nil || port == 0)
}

// isCluster says whether a Redis URL is that of a cluster.
func isCluster(redisURL string) bool {
	scheme, _, _ := strings.Cut(redisURL, "://")
	return scheme == "redis+cluster" || scheme == "rediss+cluster"
}

// parseControlRedisURL takes what several keys can be changed in at once.
func parseControlRedisURL(dst *string, v string) error {
	if isCluster(v) {
		return errors.New("a Redis Cluster cannot hold this; use an ordinary Redis, redis://user:password@host:6379/0, " +
			"or one with sentinels")
	}
	return parseRedisURL(dst, v)
}

var durability = regexp.MustCompile(`^(reply|fsync|quorum|replicas=[1-9][0-9]?)$`)

func parseDurability(dst *string, v string) error {
	if !durability.MatchString(v) {
		return errors.New("use reply, fsync, quorum or replicas=N with N from 1 to 99")
	}
	*dst = v
	return nil
}

func parsePostgresURL(dst *string, v string) error {
	// Several hosts, each with a port, are no host of a URL: its first one is looked at.
	scheme, rest, found := strings.Cut(v, "://")
	switch {
	case v == "":
	case !found || scheme != "postgres" && scheme != "postgresql":
		return errors.New("not a URL of PostgreSQL; use postgres://user:password@host:5432/database, with special " +
			"characters in the password percent-encoded")
	case rest == "" || strings.HasPrefix(rest, "/") && !strings.Contains(rest, "host="):
		return errors.New("no host; use postgres://user:password@host:5432/database")
	}
	*dst = v
	return nil
}

// parseNATSURL takes a list of servers. The parser's errors quote the URL, and with it the password.
func parseNATSURL(dst *string, v string) error {
	for one := range strings.SplitSeq(v, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		switch {
		case v == "":
		case err != nil:
			return errors.New("not a URL; use nats://user:password@host:4222, several separated by commas, " +
				"with special characters in the password percent-encoded")
		case u.Scheme != "nats" && u.Scheme != "tls":
			return errors.New("use the scheme nats:// or, for TLS, tls:// for every server")
		case u.Hostname() == "":
			return errors.New("a server has no host; use nats://host:4222")
		case wrongPort(u):
			return errors.New("a server's port is not from 1 to 65535; use nats://host:4222")
		}
	}
	*dst = v
	return nil
}
