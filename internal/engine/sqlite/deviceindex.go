package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// The index by device and time finds the records of one device without reading those of all others. In a file that an
// earlier version has filled it is missing; to build it takes seconds for each million records, and nothing can be
// stored meanwhile. So it is built at once only where that takes no time to speak of.

const (
	deviceIndexName   = "records_device_ts"
	deviceIndex       = "CREATE INDEX IF NOT EXISTS " + deviceIndexName + " ON records (device_id, ts)"
	indexedAtOnce     = 10_000 // records of a file that gets the index when it is opened
	indexProgress     = 10 * time.Second
	recordsKept       = "SELECT count(*) FROM records"
	deviceIndexExists = "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name = '" + deviceIndexName + "'"
)

// indexSmall builds the index if the file is new or small.
func (d *database) indexSmall() error {
	kept, err := d.ask("SELECT count(*) FROM (SELECT 1 FROM records LIMIT ?)", int64(indexedAtOnce+1))
	if err != nil || kept.(int64) > indexedAtOnce {
		return err
	}
	_, err = d.exec(deviceIndex)
	return err
}

// Migrate builds the index by device in a file that has none, unless it holds more than so many records: then a warning
// says so. Nothing is stored meanwhile; the log says how long it takes. It is one transaction: after a failure or a
// crash there is no index, and it can be tried again.
func (e *Engine) Migrate(ctx context.Context, atMost int64) error {
	_, err := inTurn(ctx, e, func(w *writer) (any, error) { return nil, w.migrate(ctx, e.lockWait, atMost) })
	return err
}

func (w *writer) migrate(ctx context.Context, wait time.Duration, atMost int64) error {
	if err := w.begin(ctx, wait); err != nil {
		return err
	}
	exists, err := w.db.ask(deviceIndexExists)
	if err != nil {
		return w.giveUp(err)
	}
	if exists == int64(1) {
		return w.cancel()
	}
	answer, err := w.db.ask(recordsKept)
	if err != nil {
		return w.giveUp(err)
	}
	kept, _ := answer.(int64)
	if kept > atMost {
		w.log.Warn("records have no index by device, run migrate while nothing else uses the file",
			"path", w.path, "records", kept)
		return w.cancel()
	}
	begin := time.Now()
	if err := w.buildDeviceIndex(kept); err != nil {
		return err
	}
	w.log.Info("index by device built", "path", w.path, "records", kept, "took", time.Since(begin))
	return nil
}

// buildDeviceIndex sorts in the database's own directory: there is room, and a container has no other to write to.
func (w *writer) buildDeviceIndex(records int64) error {
	defer w.announceIndexing(records)()
	directory := "PRAGMA temp_store_directory = '%s'"
	dir := strings.ReplaceAll(filepath.Dir(w.path), "'", "''")
	if _, err := w.db.exec(fmt.Sprintf(directory, dir)); err != nil {
		return w.giveUp(err)
	}
	_, err := w.db.exec(deviceIndex)
	_, reset := w.db.exec(fmt.Sprintf(directory, "")) // all databases of the process share it
	if err := errors.Join(err, reset); err != nil {
		return w.giveUp(err)
	}
	return w.commit()
}

// announceIndexing says that the index is being built, again and again until the function that it returns is called.
func (w *writer) announceIndexing(records int64) (end func()) {
	begin, log := time.Now(), w.log.With("path", w.path, "records", records)
	log.Info("building the index by device, nothing is stored meanwhile")
	ended := make(chan struct{})
	go func() {
		ticker := time.NewTicker(indexProgress)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				log.Info("still building the index by device", "for", time.Since(begin).Round(time.Second))
			}
		}
	}()
	return func() { close(ended) }
}
