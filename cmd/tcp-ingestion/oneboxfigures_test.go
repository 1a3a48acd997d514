package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What a large fleet may cost. Over TLS a connection takes what the library's connection does.
const (
	mostKiBPerConnection = 5
	mostCPURatio         = 1.3
)

// lookedFor is how many frames of a connection the engine is searched for, to find what was sent before.
const lookedFor = 3

// measure waits until no device is looked for in the engine any more, and measures for an interval, all servers in the
// same time: what a connection takes beyond those of the server with few, and a frame's CPU compared with it.
func (b *oneBox) measure() {
	b.awaitFrames(lookedFor)
	large, few := b.parts[len(b.parts)-1], b.few
	largeBegin, fewBegin := large.usage(), few.usage()
	time.Sleep(b.interval) // for which it is measured
	largeEnd, fewEnd := large.usage(), few.usage()

	memory := (largeEnd.memory - fewEnd.memory) / float64(large.devices-few.devices)
	cost, fewCost := cpuPerFrame(largeBegin, largeEnd), cpuPerFrame(fewBegin, fewEnd)
	b.figure("connections of a server; of the one compared with", "%d; %d", large.devices, few.devices)
	b.figure("frames a second of each", "%.0f; %.0f", (largeEnd.frames-largeBegin.frames)/b.interval.Seconds(),
		(fewEnd.frames-fewBegin.frames)/b.interval.Seconds())
	b.figure("server's CPU a frame, µs", "%.0f; %.0f", cost, fewCost)
	b.figure("ratio of the two", "%.2f", cost/fewCost)
	b.figure("server's resident memory a connection, KiB", "%.1f", memory)
	b.figure("kernel's memory a connection, both ends, KiB", "%.1f", (socketMemory()-b.kernel)/float64(b.devices))
	b.figure("simulate's resident memory a device, KiB", "%.1f",
		residentKiB(b, large.fleet.Process.Pid)/float64(large.devices))
	if b.ca == nil && memory > mostKiBPerConnection {
		b.Errorf("a connection takes %.1f KiB, %d are meant", memory, mostKiBPerConnection)
	}
	if cost > mostCPURatio*fewCost {
		b.Errorf("a frame takes %.2f times the CPU, %.1f are meant", cost/fewCost, mostCPURatio)
	}
}

// usage is what a server has used so far.
type usage struct{ cpu, frames, memory float64 } // s, number, KiB

func (p *boxPart) usage() usage {
	pid := p.server.cmd.Process.Pid
	return usage{cpuSeconds(p.server.t, pid), p.frames(), residentKiB(p.server.t, pid)}
}

// cpuPerFrame is in µs.
func cpuPerFrame(begin, end usage) float64 {
	return (end.cpu - begin.cpu) / (end.frames - begin.frames) * 1e6
}

// residentKiB is a process' resident memory.
func residentKiB(t testing.TB, pid int) (kib float64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// socketMemory is what the kernel has for sockets and what belongs to them, in KiB; 0 if this user may not know.
func socketMemory() (kib float64) {
	all, _ := os.ReadFile("/proc/slabinfo")
	for line := range strings.Lines(string(all)) {
		var name string
		var active, objects, size float64
		if n, _ := fmt.Sscan(line, &name, &active, &objects, &size); n < 4 {
			continue
		}
		switch name {
		case "TCP", "sock_inode_cache", "filp", "eventpoll_epi":
			kib += objects * size / 1024
		}
	}
	return kib
}
