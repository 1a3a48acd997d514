package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

const tmpfs = "tmpfs"

// Inspect opens the database for writing and looks at what it really does.
func (e *Engine) Inspect(ctx context.Context) (engine.Durability, error) {
	return inTurn(ctx, e, func(w *writer) (engine.Durability, error) {
		if err := w.begin(ctx, e.lockWait); err != nil {
			return engine.Durability{}, err
		}
		d, err := w.inspect()
		if err != nil {
			return engine.Durability{}, w.giveUp(err)
		}
		return d, w.cancel()
	})
}

func (w *writer) inspect() (engine.Durability, error) {
	version, err := w.db.ask("SELECT sqlite_version()")
	if err != nil {
		return engine.Durability{}, err
	}
	d := engine.Durability{Engine: fmt.Sprint("sqlite ", version), Class: engine.Fsynced}
	settings := map[string]string{}
	for _, name := range []string{"journal_mode", "synchronous", "wal_autocheckpoint", "journal_size_limit"} {
		answer, err := w.db.ask("PRAGMA " + name)
		if err != nil {
			return engine.Durability{}, err
		}
		settings[name] = fmt.Sprint(answer)
		d.Facts = append(d.Facts, engine.Fact{Name: name, Value: settings[name]})
	}
	if journal := settings["journal_mode"]; !strings.EqualFold(journal, "wal") {
		warn(&d, "%s cannot use a write-ahead log here (journal_mode is %s), which makes it slow and lets "+
			"readers block it: use a local disk", w.path, journal)
	}
	synchronous := settings["synchronous"]
	if full := synchronous == "2" || synchronous == "3"; !full {
		d.Class = engine.OneSecond
		warn(&d, "%s is not synced at every commit (synchronous is %s): end what changed it", w.path, synchronous)
	}
	indexed, err := w.db.ask(deviceIndexExists)
	if err != nil {
		return engine.Durability{}, err
	}
	if indexed == int64(0) {
		warn(&d, "%s has no index by device, so clients that ask for one device's records read all of them: "+
			"run tcp-ingestion migrate while nothing else uses the file", w.path)
	}
	w.inspectDisk(&d)
	return d, nil
}

// inspectDisk warns about a place that does not keep what it is given, or not for long.
func (w *writer) inspectDisk(d *engine.Durability) {
	dir := filepath.Dir(w.path)
	switch name := filesystem(dir); name {
	case "":
	case tmpfs, "ramfs":
		d.Class = engine.MemoryOnly
		warn(d, "%s is in memory (%s): use a directory on a disk", dir, name)
	default:
		warn(d, "%s is on %s, where file locks and syncs cannot be relied upon: use a local disk", dir, name)
	}
	d.Facts = append(d.Facts, engine.Fact{Name: "file", Value: w.path})
	if free, known := freeSpace(dir); known {
		d.Facts = append(d.Facts, engine.Fact{Name: "free disk", Value: fmt.Sprintf("%d MiB", free>>20)})
		if free < 16*reserve {
			warn(d, "%s has %d MiB of free space left: free some or keep records for a shorter time", dir, free>>20)
		}
	}
	if size := logSize(w.path); size > maxLogBytes {
		warn(d, "%s-wal has grown to %d MiB: end the client that holds a read transaction", w.path, size>>20)
	}
}

func warn(d *engine.Durability, format string, args ...any) {
	d.Warnings = append(d.Warnings, fmt.Sprintf(format, args...))
}
