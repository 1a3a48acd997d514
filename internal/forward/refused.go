package forward

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/atomicfile"
)

// Refused is the file of records that the sink refuses for good: JSON lines, the oldest first. Half of the room is the
// file's; the one before it has ".1" at its end.
type Refused struct {
	Path     string
	MaxBytes int64 // of both files; 0 = no bound
	Metrics  *Metrics
	Logger   *slog.Logger

	mu sync.Mutex // sinks may deliver on several goroutines
}

// Put is a Refuse.
func (r *Refused) Put(reason string, items ...Item) error {
	var lines []byte
	for _, i := range items {
		lines = append(append(lines, refusedLine(time.Now(), reason, i)...), '\n')
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.append(lines); err != nil {
		return err
	}
	r.Metrics.refused.Add(float64(len(items)))
	r.Logger.Warn("records refused, kept in the file of refused records", "records", len(items), "reason", reason,
		"path", r.Path)
	return nil
}

// refusedLine has the record as JSON, or as a text if it is none.
func refusedLine(now time.Time, reason string, i Item) []byte {
	line := struct {
		RefusedAt time.Time       `json:"refused_at"`
		Reason    string          `json:"reason"`
		ID        string          `json:"id,omitempty"`
		DeviceID  string          `json:"device_id,omitempty"`
		Record    json.RawMessage `json:"record,omitempty"`
		Text      string          `json:"text,omitempty"`
	}{RefusedAt: now.UTC(), Reason: reason, ID: i.ID, DeviceID: i.DeviceID}
	if json.Valid(i.Payload) {
		line.Record = i.Payload
	} else {
		line.Text = string(i.Payload)
	}
	b, err := json.Marshal(line)
	if err != nil {
		panic(err) // there are only texts, and JSON that was looked at
	}
	return b
}

// append adds lines and returns when they are durable. It leaves no part of them when it fails.
func (r *Refused) append(lines []byte) error {
	if err := os.MkdirAll(filepath.Dir(r.Path), dirMode); err != nil {
		return err
	}
	if err := r.makeRoom(int64(len(lines))); err != nil {
		return err
	}
	f, err := os.OpenFile(r.Path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	err = appendDurably(f, lines)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(r.Path))
}

// makeRoom begins a new file when the lines do not fit into half of the room.
func (r *Refused) makeRoom(more int64) error {
	info, err := os.Stat(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || r.MaxBytes == 0 || info.Size()+more <= r.MaxBytes/2 {
		return err
	}
	before := r.Path + ".1"
	if _, err := os.Stat(before); err == nil {
		r.Metrics.dropped.Inc()
		r.Logger.Warn("oldest refused records removed for newer ones", "path", before, "limit", r.MaxBytes)
	}
	return atomicfile.Rename(r.Path, before)
}

// Who may read the files: they say where people are.
const (
	dirMode  fs.FileMode = 0o750
	fileMode fs.FileMode = 0o640
)

// appendDurably adds whole lines at the end of a file. A part of them that a failure left there is taken off, now or,
// if that fails as well, by the next call.
func appendDurably(f *os.File, lines []byte) error {
	end, err := wholeLines(f)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(lines, end)
	if err = errors.Join(err, f.Sync()); err != nil {
		return errors.Join(err, f.Truncate(end))
	}
	return nil
}

// wholeLines is where the last whole line of the file ends. What a killed process left behind it is cut off.
func wholeLines(f *os.File) (end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size, buffer := info.Size(), make([]byte, 4096)
	for end = size; end > 0; {
		n := min(end, int64(len(buffer)))
		part := buffer[:n]
		if _, err := f.ReadAt(part, end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			end = end - n + int64(i) + 1
			break
		}
		end -= n
	}
	if end < size {
		return end, f.Truncate(end)
	}
	return end, nil
}
