package teltonikasession

import (
	"cmp"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/pipeline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
)

// fate is what has become of a packet, as the books have it.
type fate struct {
	outcome tap.Outcome // empty if nothing has become of it yet
	reason  string      // of metrics: why it is refused or a dead letter
}

// stopped takes down at which step the packet has stopped. What the books say of it later counts more.
func (f *fate) stopped(d *disposition) {
	switch {
	case d.result == "crc_fail":
		f.outcome = tap.WrongCRC
	case d.refused == "" && d.result != "overflow": // too many large frames
		f.outcome = tap.Malformed
	default:
		f.outcome = tap.Refused
	}
	f.reason = cmp.Or(d.refused, d.deadLetter)
}

// settled takes down what the publisher has made of it.
func (o *source) settled(outcome publish.Outcome) {
	f := &o.fate
	switch {
	case o.deadLetter != "":
		f.outcome, f.reason = tap.DeadLettered, o.deadLetter
	case o.lost > 0:
		f.outcome, f.reason = tap.DeadLettered, pipeline.ReasonTimestamp
	case outcome.Published > 0 || outcome.Messages > 0:
		f.outcome = tap.Stored
	case outcome.Duplicates > 0:
		f.outcome = tap.Duplicate
	default:
		f.outcome = tap.Empty
	}
}
