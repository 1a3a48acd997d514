package logging

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
)

// ExitOnPanic ends the process with code 1 after a panic, and says so at fatal. It is deferred by goroutines
// without which the process cannot keep its promise, so that a supervisor restarts it: what was not stored was
// not acknowledged, and the devices send it again. A session's panic is no such case; see package ingest.
func ExitOnPanic(logger *slog.Logger) {
	if p := recover(); p != nil {
		logger.Log(context.Background(), LevelFatal, "invariant broken, the process ends", "panic", fmt.Sprint(p),
			"stack", string(debug.Stack()))
		os.Exit(1)
	}
}
