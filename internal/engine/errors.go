package engine

import "errors"

// ErrDurability is in the chain of an error that says that the engine was reached and cannot store at
// the configured durability as it is set up now. The error's text has the remedy.
var ErrDurability = errors.New("the configured durability cannot be had")

// ErrTooLarge is in the chain of an item's error that says that the store never takes an item of this size, or with
// what it holds, however often it is tried. Its neighbours are not held up.
var ErrTooLarge = errors.New("the item is larger than the engine takes")

// ErrMovedOn is in the chain of an item's error that says that its device has had items stored elsewhere since it came
// here. The item is not stored, and the device sends it again. It says nothing against the engine.
var ErrMovedOn = errors.New("the device has sent records elsewhere meanwhile")

// Error is the failure of a whole batch or of one item.
type Error struct {
	// Transient says that the same write can succeed later without anybody changing a setting:
	// the engine is loading, out of memory, out of disk, read-only, locked or not reachable.
	Transient bool
	// Ambiguous says that the write may have been stored although it was not confirmed.
	Ambiguous bool
	Err       error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// IsTransient reports whether a retry of the failed write can help. An error that no engine has
// classified is taken to be permanent.
func IsTransient(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Transient
}

// IsAmbiguous reports whether the failed write may have been stored all the same.
func IsAmbiguous(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Ambiguous
}
