// Package source reads what others keep for this program, in a file or in Redis: a list of devices, a table of models,
// definitions. A Watcher reads it again and again. What it holds is one value, read and taken into use as a whole.
package source

import "context"

// Source is where a value is kept. One goroutine uses it at a time.
type Source[T any] interface {
	// Read returns what the source holds, the same value if it knows that nothing has changed. force means not to trust
	// appearances.
	Read(ctx context.Context, force bool) (T, error)
	// String names the source for people.
	String() string
	// Close gives up what the source holds open.
	Close() error
}
