package retention

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootID is a random name that the kernel gives itself when it starts, "" if it does not tell.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // before Linux 2.6.39: no time ever passes, and nothing is deleted
	}
	return time.Duration(t.Nano())
}
