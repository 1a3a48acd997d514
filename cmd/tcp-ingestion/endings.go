package main

import (
	"context"
	"errors"
	"slices"
)

// endings are how the parts of a service end. A part adds its own as soon as it is built, so that a start that fails
// half-way leaves nothing open.
type endings []func(ctx context.Context) error

func (e *endings) add(end func(ctx context.Context) error) { *e = append(*e, end) }

// run ends the parts, the last one first, once.
func (e *endings) run(ctx context.Context) error {
	var errs []error
	for _, end := range slices.Backward(*e) {
		errs = append(errs, end(ctx))
	}
	*e = nil
	return errors.Join(errs...)
}
