package forward

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/atomicfile"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/filelock"
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
	syncDir func(dir string) error

	mu       sync.Mutex
	file     *os.File // the one that is written, locked; nil if there is none
	size     int64
	expiry   *time.Timer // of the file
	unsynced bool        // a file has its name, but a loss of power may take it again
}

// NewFiles makes the directory, and completes the files that a process left there that was killed.
func NewFiles(o FilesOptions) (*Files, error) {
	if err := os.MkdirAll(o.Dir, dirMode); err != nil {
		return nil, err
	}
	s := &Files{FilesOptions: o, syncDir: atomicfile.SyncDir}
	return s, s.recoverLeft()
}

// recoverLeft completes the files of processes that have gone.
func (s *Files) recoverLeft() error {
	left, err := filepath.Glob(filepath.Join(escapeGlob(s.Dir), s.Prefix+"-*"+endComplete+endOpen))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := s.recover(path); err != nil {
			return err
		}
	}
	return nil
}

// escapeGlob is the path as a pattern that is only that path.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// recover completes a file whose process has gone: its whole lines stay.
func (s *Files) recover(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another process has completed it
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if ours, err := claim(f); err != nil || !ours {
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

// claim locks the file. It is not ours if another process has locked it, or has completed or removed it before.
func claim(f *os.File) (ours bool, err error) {
	if taken, err := filelock.Take(f); !taken {
		return false, err
	}
	return isAt(f, f.Name())
}

// isAt reports whether the file has that path.
func isAt(f *os.File, path string) (bool, error) {
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	return err == nil && os.SameFile(there, info), err
}

var errGone = errors.New("the file that is written was removed or renamed, beginning another one")

// Deliver adds the batch to the file, and completes it when it is large enough.
func (s *Files) Deliver(_ context.Context, batch []Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	lines, path := linesOf(batch), s.file.Name()
	if err := appendDurably(s.file, lines); err != nil {
		return err
	}
	if there, err := isAt(s.file, path); err != nil || !there {
		return errors.Join(err, fmt.Errorf("%s: %w", path, errGone)) // nobody may find the batch
	}
	if s.size += int64(len(lines)); s.size < s.MaxBytes {
		return nil
	}
	// The batch is in it, whether or not the file gets its name now.
	if err := s.complete(); err != nil {
		s.Logger.Warn("file not completed, trying again", "path", path, "error", err)
	}
	return nil
}

// open makes sure that there is a file to write that has its name still.
func (s *Files) open() error {
	if s.file != nil {
		there, err := isAt(s.file, s.file.Name())
		if err != nil || there {
			return err
		}
		s.Logger.Warn("file was removed or renamed while it was written", "path", s.file.Name())
		s.release()
	}
	if err := s.recoverLeft(); err != nil { // of the one whose turn it was
		s.Logger.Warn("file of a process that ended not completed, trying again", "path", s.Dir, "error", err)
	}
	return s.begin()
}

// mostBegun is how many new files other processes may take for ones that were left, before they are locked.
const mostBegun = 5

// begin makes a new file, which no other process takes for one that was left.
func (s *Files) begin() error {
	for range mostBegun {
		f, err := s.create()
		if err != nil {
			return err
		}
		ours, err := claim(f)
		if err == nil && !ours {
			_ = f.Close() // nothing is in it, and who has taken it removes it
			continue
		}
		if err = errors.Join(err, s.syncNames()); err != nil {
			return errors.Join(err, os.Remove(f.Name()), f.Close())
		}
		s.file, s.size = f, 0
		s.expiry = time.AfterFunc(s.MaxAge, func() { s.expire(f) })
		return nil
	}
	return fmt.Errorf("%s: other processes take each new file for one that was left", s.Dir)
}

func (s *Files) create() (*os.File, error) {
	var random [4]byte
	rand.Read(random[:])
	name := fmt.Sprintf("%s-%s-%s%s%s", s.Prefix, time.Now().UTC().Format("20060102T150405.000Z"),
		hex.EncodeToString(random[:]), endComplete, endOpen)
	return os.OpenFile(filepath.Join(s.Dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
}

// syncNames makes the names of all files durable, those of earlier ones as well.
func (s *Files) syncNames() error {
	err := s.syncDir(s.Dir)
	s.unsynced = err != nil
	return err
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
		if s.file == f {
			s.expiry = time.AfterFunc(min(s.MaxAge, time.Minute), func() { s.expire(f) })
		}
	}
}

// complete gives the file its name. One that nothing was delivered to goes. Once it has its name it is not written
// again, even if the name is not durable yet: the next file's beginning, or Close, makes it so.
func (s *Files) complete() error {
	path := s.file.Name()
	there, err := isAt(s.file, path)
	if err != nil {
		return err
	}
	if there {
		err = s.name(path)
	} else if renamed, _ := isAt(s.file, strings.TrimSuffix(path, endOpen)); !renamed {
		s.Logger.Warn("file was removed or renamed while it was written", "path", path)
	}
	if err != nil {
		return err
	}
	s.release()
	return s.syncNames()
}

func (s *Files) name(path string) error {
	end, err := wholeLines(s.file)
	if err != nil {
		return err
	}
	if end == 0 {
		return os.Remove(path)
	}
	return os.Rename(path, strings.TrimSuffix(path, endOpen))
}

// release lets go of the file, all of which is synced.
func (s *Files) release() {
	s.expiry.Stop()
	_ = s.file.Close()
	s.file = nil
}

// Close completes the file.
func (s *Files) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.file != nil:
		return s.complete()
	case s.unsynced:
		return s.syncNames()
	}
	return nil
}
