// Package signals hears what the operator and the service manager say to the process, from its first moments on. It
// needs nothing but the standard library's smallest parts, so Go initialises it before almost everything else: a stop
// or reload that comes while the program is still being loaded is not lost, and does not end it half-way.
package signals

import (
	"os"
	"os/signal"
	"syscall"
)

// Stop has SIGTERM and SIGINT, two of them at most. Reload has SIGHUP: one that comes while another waits is the same
// one.
var (
	Stop   = hear(2, syscall.SIGTERM, syscall.SIGINT)
	Reload = hear(1, syscall.SIGHUP)
)

func hear(room int, which ...os.Signal) chan os.Signal {
	c := make(chan os.Signal, room)
	signal.Notify(c, which...)
	return c
}

// Leave gives the signals the effect back that they usually have, for a program that does not take them from here. One
// that has come already has it now.
func Leave() {
	for _, c := range []chan os.Signal{Stop, Reload} {
		signal.Stop(c)
		select {
		case sig := <-c:
			raise(sig)
		default:
		}
	}
}
