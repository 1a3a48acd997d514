package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// permanent are the broker's refusals that no repetition cures. The broker has stored nothing then.
var permanent = []error{
	kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.PolicyViolation,
	kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed,
	kerr.UnsupportedSaslMechanism, kerr.InvalidTopicException,
}

// classify makes any failure an *engine.Error. What is not the broker's refusal is a matter of the network or of time,
// so it is transient, except for a certificate that is not trusted.
func (e *Engine) classify(err error) *engine.Error {
	var known *engine.Error
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, engine.ErrDurability) {
		return &engine.Error{Err: err}
	}
	for _, p := range permanent {
		if errors.Is(err, p) {
			return &engine.Error{Err: fmt.Errorf("kafka: %w", err)}
		}
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return &engine.Error{Err: fmt.Errorf("kafka: %w", err)}
	}
	var refused *kerr.Error
	if errors.As(err, &refused) {
		return &engine.Error{Transient: true, Err: fmt.Errorf("kafka: %w", err)}
	}
	return &engine.Error{Transient: true, Err: fmt.Errorf("kafka at %s: %w", strings.Join(e.opt.Brokers, ","), err)}
}

// tooLarge reports whether an item is larger than its topic takes.
func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

func isAlreadyThere(err error) bool { return errors.Is(err, kerr.TopicAlreadyExists) }

// ended makes the end of ctx an error that says what was waited for.
func ended(ctx context.Context, what string) error {
	return fmt.Errorf("%s: %w", what, ctx.Err())
}
