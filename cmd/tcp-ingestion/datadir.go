package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/sqlite"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// keepsFiles reports whether the service keeps anything in DATA_DIR: records, commands and devices, or what waits for
// the mirror.
func keepsFiles(c *config.Config) bool {
	return c.Engine == config.EngineEmbedded || c.ControlRedisURL == "" || isMirrored(c)
}

// errMayPass is in the chain of an error that is no setting's fault, as of a disk that is full.
var errMayPass = errors.New("cannot be used now")

// buildExitCode is the code of a service that cannot be built. One that is kept away by another, or by what may pass,
// may be tried again, unless settings are wrong as well.
func buildExitCode(err error) int {
	var wrong *config.Error
	if errors.Is(err, sqlitefile.ErrInUse) || errors.Is(err, errMayPass) && !errors.As(err, &wrong) {
		return exitFailure
	}
	return exitSettings
}

// lockDataDir keeps a second service away from the same files: two that hand out one file's commands would each believe
// that the device is theirs. A directory that cannot be locked is no reason to leave devices outside: what is kept in
// it says by itself what is wrong.
func (s *service) lockDataDir() error {
	if !keepsFiles(s.config) {
		return nil
	}
	lock, err := sqlitefile.Lock(s.config.DataDir)
	switch {
	case errors.Is(err, sqlitefile.ErrInUse):
		return fmt.Errorf("DATA_DIR %s: %w: stop it first, or give this one another DATA_DIR", s.config.DataDir, err)
	case err != nil:
		s.logger.Warn("data directory not locked", "path", s.config.DataDir, "error", err)
		return nil
	}
	s.ends.add(func(context.Context) error { return lock.Close() })
	return nil
}

// errNoStore is that nothing is kept where the service's files are looked for. An empty store would look like good
// news, and belong to whoever asked.
func errNoStore(c *config.Config) error {
	return cli.Exit(fmt.Sprintf("no %s in DATA_DIR %s: are DATA_DIR and REDIS_URL those of the service, and has it been "+
		"started?", sqlite.FileName, c.DataDir), exitFailure)
}

// hasStore reports whether the engine's store is there, as far as that is a file.
func hasStore(c *config.Config) bool {
	return c.Engine != config.EngineEmbedded || isKept(c, sqlite.FileName)
}

func isKept(c *config.Config, file string) bool {
	_, err := os.Stat(filepath.Join(c.DataDir, file))
	return !errors.Is(err, fs.ErrNotExist)
}

// triable is the settings as they are if the file is in DATA_DIR. If it is not, they have another DATA_DIR, which done
// removes: a folder where the file would be made, so that it is tried and nothing is left behind.
func triable(c *config.Config, file string) (_ *config.Config, done func(), err error) {
	if isKept(c, file) {
		return c, func() {}, nil
	}
	parent, err := filepath.Abs(c.DataDir)
	if err != nil {
		return nil, nil, err
	}
	for info, err := os.Stat(parent); (err != nil || !info.IsDir()) && filepath.Dir(parent) != parent; {
		parent = filepath.Dir(parent)
		info, err = os.Stat(parent)
	}
	dir, err := os.MkdirTemp(parent, ".tcp-ingestion-check-")
	if err != nil {
		return nil, nil, fmt.Errorf("DATA_DIR %s cannot be used: %w", c.DataDir, err)
	}
	tried := *c
	tried.DataDir = dir
	return &tried, func() { _ = os.RemoveAll(dir) }, nil
}
