package tlsserver

import (
	"context"
	"errors"
	"time"
)

// watchInterval is how often the files are read. They are small, and their content is the only sign of a change that is
// right for every way of renewing them: written in place, renamed, or behind links that are switched.
const watchInterval = 2 * time.Second

// Watch takes changed files into use until ctx ends, when they have stayed the same for one to two intervals: a
// certificate and its key are written one after the other. A change that cannot be used is logged once.
func (s *Server) Watch(ctx context.Context) { s.watch(ctx, watchInterval) }

func (s *Server) watch(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	w := watcher{Server: s, done: true}
	w.files = s.current.Load().files
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look()
		}
	}
}

// watcher knows what was there when it looked last.
type watcher struct {
	*Server
	files  files
	failed string    // why they could not be read
	done   bool      // that has been dealt with
	again  time.Time // when it is to be dealt with once more; zero is never
}

// look reads the files and deals with what is there for the second time.
func (w *watcher) look() {
	f, err := w.options.read()
	failed := ""
	if err != nil {
		failed = err.Error()
	}
	if failed != w.failed || !f.equal(w.files) {
		w.files, w.failed, w.done = f, failed, false
		return
	}
	if w.done && (w.again.IsZero() || time.Now().Before(w.again)) {
		return
	}
	w.done, w.again = true, time.Time{}
	if err == nil && f.equal(w.current.Load().files) {
		return // changed back, or taken into use by Reload
	}
	if err := w.Reload(); err != nil {
		var early *tooEarlyError
		if errors.As(err, &early) {
			w.again = early.valid
		}
		w.options.Logger.Error("tls certificate not usable, the one in use stays", "error", err)
	}
}
