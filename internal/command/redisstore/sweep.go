package redisstore

import (
	"context"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// sweepBatch is how many commands one script looks at: about a millisecond of Redis' time if it ends all of them
// (go test -bench Sweep).
const sweepBatch = 25

// sweep ends the commands that nobody else ends: those whose device has not come, and those of instances that died.
// Every instance does it, for all.
func (s *Store) sweep(ctx context.Context, r command.Receiver) {
	s.repeat(ctx, workSweep, nil, func(ctx context.Context) (time.Duration, error) {
		answer, err := s.eval(ctx, scriptSweep, sweepBatch, s.opt.Timing.Grace.Milliseconds(), flag(s.stable()))
		all := list(answer)
		if err != nil || len(all) != 2 {
			return s.opt.Timing.Sweep, err
		}
		for _, ended := range list(all[1]) {
			r.Finished(fieldsOf(ended).entry())
		}
		if number(all[0]) == sweepBatch {
			return 0, nil // there are more
		}
		return s.opt.Timing.Sweep, nil
	})
}
