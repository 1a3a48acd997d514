package forward

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/atomicfile"
)

// The endings of files: of one that is complete, and of one that is written.
const (
	endComplete = ".jsonl"
	endOpen     = ".part"
)

// FilesOptions are what a Files is made of.
type FilesOptions struct {
	Dir      string        // made if it is missing
	Prefix   string        // how the files' names begin
	MaxBytes int64         // above which a file is complete
	MaxAge   time.Duration // after which it is complete, from its first record
	Logger   *slog.Logger
}

// Files is a sink of files of JSON lines. A file has ".part" behind its name until it is complete; then it is renamed,
// and never written again. What is delivered is synced. Nothing here removes files.
type Files struct {
	FilesOptions

	mu     sync.Mutex
	file   *os.File // the one that is written; nil if there is none
	size   int64
	expiry *time.Timer // of the file
}

// NewFiles makes the directory, and completes the files that a process left there that was killed.
func NewFiles(o FilesOptions) (*Files, error) {
	if err := os.MkdirAll(o.Dir, dirMode); err != nil {
		return nil, err
	}
	s := &Files{FilesOptions: o}
	left, err := filepath.Glob(filepath.Join(escapeGlob(o.Dir), o.Prefix+"-*"+endComplete+endOpen))
	if err != nil {
		return nil, err
	}
	for _, path := range left {
		if err := s.recover(path); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// escapeGlob is the path as a pattern that is only that path.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// recover completes a file whose process has gone: its whole lines stay.
func (s *Files) recover(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil // another process writes it
	} else if err != nil {
		return err
	}
	end, err := wholeLines(f)
	if err != nil {
		return err
	}
	if end == 0 {
		return os.Remove(path)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.Logger.Info("file of a process that ended completed", "path", strings.TrimSuffix(path, endOpen))
	return atomicfile.Rename(path, strings.TrimSuffix(path, endOpen))
}

func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// Deliver adds the batch to the file, and completes it when it is large enough.
func (s *Files) Deliver(_ context.Context, batch []Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	lines := linesOf(batch)
	if err := appendDurably(s.file, lines); err != nil {
		return err
	}
	if s.size += int64(len(lines)); s.size < s.MaxBytes {
		return nil
	}
	// The batch is in it, whether or not the file gets its name now.
	if err := s.complete(); err != nil {
		s.Logger.Warn("file not completed, trying again", "path", s.file.Name(), "error", err)
	}
	return nil
}

// begin makes a new file, which no other process takes for one that was left.
func (s *Files) begin() error {
	var random [4]byte
	rand.Read(random[:])
	name := fmt.Sprintf("%s-%s-%s%s%s", s.Prefix, time.Now().UTC().Format("20060102T150405.000Z"),
		hex.EncodeToString(random[:]), endComplete, endOpen)
	f, err := os.OpenFile(filepath.Join(s.Dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	if err := errors.Join(lock(f), atomicfile.SyncDir(s.Dir)); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	s.file, s.size = f, 0
	s.expiry = time.AfterFunc(s.MaxAge, func() { s.expire(f) })
	return nil
}

// expire completes a file for its age, if it is still the one that is written.
func (s *Files) expire(f *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != f {
		return
	}
	if err := s.complete(); err != nil {
		s.Logger.Warn("file not completed, trying again", "path", f.Name(), "error", err)
		s.expiry = time.AfterFunc(min(s.MaxAge, time.Minute), func() { s.expire(f) })
	}
}

// complete gives the file its name. One that nothing was delivered to goes.
func (s *Files) complete() error {
	path := s.file.Name()
	end, err := wholeLines(s.file)
	switch {
	case err != nil:
	case end == 0:
		err = os.Remove(path)
	default:
		err = atomicfile.Rename(path, strings.TrimSuffix(path, endOpen))
	}
	if err != nil {
		return err
	}
	s.expiry.Stop()
	err, s.file = s.file.Close(), nil
	return err
}

// Close completes the file.
func (s *Files) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	return s.complete()
}
