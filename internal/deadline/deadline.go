// Package deadline ends at once what waits for a connection.
package deadline

import (
	"context"
	"net"
	"time"
)

// Past is a deadline that has passed: whatever waits fails with os.ErrDeadlineExceeded.
var Past = time.Unix(1, 0)

// Until ends reads and writes on conn when ctx ends. stop undoes that, and reports false if it came too late.
func Until(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(Past) })
}
