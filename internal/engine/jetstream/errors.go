package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Error codes of the servers that need words of their own.
const (
	codeNoResources     = 10023 // a server's limits
	codeAccountLimit    = 10002
	codeStorageLimit    = 10047
	codeNotEnabled      = 10076
	codeNotForAccount   = 10039
	codeMessageTooLarge = 10054
	codeNoMessage       = 10037
	codeIncompleteBatch = 10176
	codeStoreFailed     = 10077 // at one server; others may have stored it
)

var errMissing = errors.New("there is none")

// classify makes any failure about a stream an *engine.Error. Whatever the servers refuse, they may take later without
// a change of our settings.
func (e *Engine) classify(k engine.Kind, shard int, err error) *engine.Error {
	var known *engine.Error
	if errors.As(err, &known) {
		return known
	}
	name := streamName(k, shard)
	failure := func(format string, args ...any) *engine.Error {
		return &engine.Error{Transient: true, Err: fmt.Errorf("stream "+name+": "+format, args...)}
	}
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return failure("%w: set JETSTREAM_CREATE=true, or run: %s", errMissing, e.opt.command(k, shard))
	case errors.Is(err, nats.ErrNoResponders):
		return failure("no server leads it now (%w)", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		if why := e.link.refusal(); why != nil {
			return failure("no answer: %w: allow it to this user, on all servers", why)
		}
		return failure("no answer in time, too few of its servers may be alive: %w", err)
	case errors.As(err, &refused):
		return failure("%w%s", err, remedy(int(refused.ErrorCode)))
	}
	return failure("%w", err)
}

// remedy is what to do about a refusal.
func remedy(code int) string {
	switch code {
	case codeNoResources, codeStorageLimit:
		return ": a server's JetStream storage is full; " +
			"make room on its disk, raise max_file_store, or lower the streams' limits"
	case codeAccountLimit:
		return ": the account's JetStream limits are reached; raise them, or lower the streams' limits"
	case codeIncompleteBatch:
		return ": messages were lost on the way to its leader, which is changing, or the leader's disk is full"
	case codeNotEnabled, codeNotForAccount:
		return ": enable jetstream on the server and for this account"
	}
	return ""
}
