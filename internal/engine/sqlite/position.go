package sqlite

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/atomicfile"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// position is the last record that a group has dealt with: its seq, and its id, by which another database is found out.
type position struct {
	Seq int64  `json:"seq"`
	ID  string `json:"id"`
}

// newlyOpened says that a position comes from its file, which may be of an earlier life of the database.
const newlyOpened = -1

const positionFile = "position.json"

// readPosition is where the group is; before the first record if it has committed none.
func readPosition(dir string) (at position, err error) {
	path := filepath.Join(dir, positionFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return position{}, nil
	}
	if err != nil {
		return position{}, err
	}
	if err := json.Unmarshal(content, &at); err != nil {
		return position{}, fmt.Errorf("%s is no position of a consumer, remove it to read all records again: %w", path, err)
	}
	return at, nil
}

// write makes the position the group's, for good.
func (p position) write(dir string) error {
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, positionFile), append(content, '\n'), sqlitefile.MostOpen)
}

// age is how long ago the record was received, -1 if its document does not say.
func age(payload driver.Value) time.Duration {
	text, _ := payload.(string)
	var record struct {
		ReceivedAt time.Time `json:"received_at"`
	}
	if json.Unmarshal([]byte(text), &record) != nil || record.ReceivedAt.IsZero() {
		return -1
	}
	return max(time.Millisecond, time.Since(record.ReceivedAt))
}
