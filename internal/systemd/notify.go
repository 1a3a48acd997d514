// Package systemd tells the service manager how the process is: ready, reloading, stopping, alive. It is the
// sender's side of sd_notify(3), one datagram a message.
package systemd

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// sendTimeout is how long a message may wait for a service manager that does not read.
const sendTimeout = time.Second

// Notifier sends to the service manager. Without one, every method does nothing.
type Notifier struct {
	socket   string        // path, or @name of an abstract socket; empty without a service manager
	watchdog time.Duration // within which the process must show that it is alive; 0 = not asked for
	logger   *slog.Logger
	stopping atomic.Bool
}

// New reads what the service manager asks for from NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
func New(getenv func(name string) string, logger *slog.Logger) *Notifier {
	n := &Notifier{socket: getenv("NOTIFY_SOCKET"), logger: logger}
	if n.socket == "" {
		return n
	}
	if !strings.HasPrefix(n.socket, "/") && !strings.HasPrefix(n.socket, "@") {
		logger.Warn("service manager not notified",
			"error", fmt.Errorf("NOTIFY_SOCKET %q: only unix sockets are supported", n.socket))
		n.socket = ""
		return n
	}
	var err error
	if n.watchdog, err = watchdogInterval(getenv); err != nil {
		logger.Warn("watchdog not fed", "error", err)
	}
	return n
}

// watchdogInterval is the time within which the manager wants a sign of life from this very process, 0 if it wants
// none.
func watchdogInterval(getenv func(string) string) (time.Duration, error) {
	microseconds := getenv("WATCHDOG_USEC")
	if pid := getenv("WATCHDOG_PID"); microseconds == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseInt(microseconds, 10, 64)
	if err != nil || n < 1 || n > int64(1<<63-1)/int64(time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC %q is not a number of microseconds", microseconds)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Ready says that the start, or a reload, is complete. Behind Stopping it says nothing.
func (n *Notifier) Ready() { n.send("READY=1") }

// Reloading says that settings are being read again; Ready must follow.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonicMicroseconds(), 10))
}

// Stopping says that the process has begun to stop, and may take so long, whatever TimeoutStopSec says. Nothing else is
// sent behind it.
func (n *Notifier) Stopping(within time.Duration) {
	n.stopping.Store(true)
	n.deliver("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=" + strconv.FormatInt(within.Microseconds(), 10))
}

// Status sets the line that `systemctl status` shows.
func (n *Notifier) Status(text string) { n.send("STATUS=" + strings.ReplaceAll(text, "\n", " ")) }

// send opens the socket anew each time, so that a service manager that was restarted is found again.
func (n *Notifier) send(message string) {
	if !n.stopping.Load() {
		n.deliver(message)
	}
}

func (n *Notifier) deliver(message string) {
	if n.socket == "" {
		return
	}
	if err := n.write(message); err != nil {
		n.logger.Warn("service manager not notified", "error", fmt.Errorf("%.20q: %w", message, err))
	}
}

func (n *Notifier) write(message string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: n.socket})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}
