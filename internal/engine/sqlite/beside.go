package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// errAwaitsService is that the file is not there, or not as the service of this version leaves it.
var errAwaitsService = errors.New("waiting for the service to make the database, or to bring it to this version")

// openBeside opens the file that the service has made, and neither makes, migrates nor converts one: the service may be
// of another version, and a file that is made here would be another user's.
func openBeside(path string) (*database, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", errAwaitsService, err)
	}
	return openFile(path, "rw", func(d *database) error {
		if err := d.checkMade(); err != nil {
			return err
		}
		return d.setPragmas()
	})
}

// checkMade writes nothing. It comes before the pragmas, of which the one for the write-ahead log may write.
func (d *database) checkMade() error {
	version, err := d.ask("PRAGMA user_version")
	if err != nil {
		return err
	}
	journal, err := d.ask("PRAGMA journal_mode")
	if err != nil {
		return err
	}
	switch found, _ := version.(int64); {
	case found > schemaVersion:
		return sqlitefile.NewerSchema(int(found), schemaVersion)
	case found < schemaVersion:
		return fmt.Errorf("%w: it has version %d, this program reads %d", errAwaitsService, found, schemaVersion)
	case journal != "wal":
		return fmt.Errorf("%w: it has no write-ahead log", errAwaitsService)
	}
	return nil
}
