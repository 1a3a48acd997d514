// Package deadletter works with the frames that could not be published when they came: it selects them, and
// replays them once the program can decode them.
package deadletter

import (
	"context"
	"errors"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Letter is one dead letter of an engine.
type Letter struct {
	Ref string // the engine's name for it
	engine.DeadLetter
}

// Claimed is how many records or messages the frame or datagram says that it has, by its field number of data
// 1; 0 if it is neither.
func (l *Letter) Claimed() int {
	body, _, err := l.dataField()
	if err != nil {
		return 0
	}
	return int(body[1])
}

// Selection says which dead letters are meant. What is empty selects all.
type Selection struct {
	Refs     []string
	DeviceID string
	Reason   string
	After    string // ref of the one behind which to begin
	Limit    int    // so many at the most; 0 = all
}

// ErrCursor says that there is no dead letter of the ref After: it was replayed or removed.
var ErrCursor = errors.New("the dead letter to begin behind is gone: begin anew")

var errEnough = errors.New("selection is complete")

// Each calls fn with every dead letter selected, oldest first. It returns those of Refs that were not found: not
// there, or of another device or reason.
func (s Selection) Each(
	ctx context.Context, e engine.DeadLetterStore, fn func(Letter) error,
) (missing []string, err error) {
	missing = slices.Clone(s.Refs)
	found, begun := 0, s.After == ""
	err = e.EachDeadLetter(ctx, func(ref string, d engine.DeadLetter) error {
		if !begun {
			begun = ref == s.After
			return nil
		}
		if !s.selects(ref, &d) {
			return nil
		}
		missing = slices.DeleteFunc(missing, func(wanted string) bool { return wanted == ref })
		if err := fn(Letter{ref, d}); err != nil {
			return err
		}
		found++
		if found == s.Limit || len(s.Refs) > 0 && len(missing) == 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && !begun {
		err = ErrCursor
	}
	return missing, err
}

func (s Selection) selects(ref string, d *engine.DeadLetter) bool {
	return (len(s.Refs) == 0 || slices.Contains(s.Refs, ref)) &&
		(s.DeviceID == "" || s.DeviceID == d.DeviceID) &&
		(s.Reason == "" || s.Reason == d.Reason)
}
