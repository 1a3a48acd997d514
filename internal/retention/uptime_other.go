//go:build !linux

package retention

import "time"

var started = time.Now()

func bootID() string { return "" }

func sinceBoot() time.Duration { return time.Since(started) }
