package redisstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// refusal is an error reply of Redis: a code in capitals and a text.
type refusal string

func (r refusal) Error() string { return "redis: " + string(r) }

// code is the reply's first word, such as OOM or WRONGTYPE.
func (r refusal) code() string {
	code, _, _ := strings.Cut(string(r), " ")
	return code
}

// transient says whether the same command can succeed later although nobody changes a setting.
func (r refusal) transient() bool {
	switch r.code() {
	case "LOADING", "READONLY", "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY",
		"NOREPLICAS", "UNBLOCKED", "FAILOVER":
		return true
	}
	return strings.HasPrefix(string(r), "ERR max number of clients") ||
		strings.Contains(string(r), "cannot be used with replica instances") // WAIT, after a failover
}

// staleConnection says whether another connection may fare better, because it would log in anew
// or reach another server behind the same name.
func (r refusal) staleConnection() bool {
	switch r.code() {
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "NOAUTH", "NOPERM", "UNBLOCKED":
		return true
	}
	return false
}

// errCluster says what to do about a node of a Redis Cluster: the streams' keys are in slots of several nodes, and one
// that is here today may be moved tomorrow.
var errCluster = errors.New("this redis is a node of a Redis Cluster: set REDIS_URL to redis+cluster://host:6379, " +
	"with several hosts separated by commas")

// ofCluster says whether only a node of a cluster answers so.
func (r refusal) ofCluster() bool {
	switch r.code() {
	case "MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN":
		return true
	}
	return false
}

// classify makes any failure an *engine.Error and takes the password out of its text. What is not
// an answer of Redis is a matter of the network or of time, so it is transient, except for a
// certificate that is not trusted.
func (s *shard) classify(err error) *engine.Error {
	var known *engine.Error
	if errors.As(err, &known) {
		return known
	}
	if answer, ok := asRefusal(err); ok {
		failure := &engine.Error{Transient: answer.transient(), Err: s.e.withoutPassword(answer)}
		switch {
		case s.e.cluster != nil && answer.elsewhere():
			failure.Transient = true
		case answer.ofCluster():
			failure.Err = fmt.Errorf("%w: %w", failure.Err, errCluster)
		}
		return failure
	}
	var untrusted *tls.CertificateVerificationError
	return &engine.Error{Transient: !errors.As(err, &untrusted), Err: s.unreachable(err)}
}

// unreachable says whom an error of the network is about: a bare "i/o timeout" does not.
func (s *shard) unreachable(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("redis at %s does not answer in time: %w", s.address(), err)
	}
	return fmt.Errorf("redis at %s: %w", s.address(), err)
}

// asRefusal finds an error reply in err, read by us or by the library.
func asRefusal(err error) (refusal, bool) {
	var ours refusal
	if errors.As(err, &ours) {
		return ours, true
	}
	var theirs redis.Error
	if errors.As(err, &theirs) && !errors.Is(err, redis.Nil) {
		return refusal(theirs.Error()), true
	}
	return "", false
}

// withoutPassword hides the password: a Redis that does not know AUTH quotes its arguments.
func (e *Engine) withoutPassword(r refusal) refusal {
	return refusal(e.target.Redact(string(r)))
}
