package simulate

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/descriptors"
)

// machine is what limits a fleet on this machine; 0 is not known.
type machine struct {
	descriptors int // that this process may have
	nrOpen      int // that a process may be allowed to have: fs.nr_open
	ports       int // that the system chooses from, for each source address
	somaxconn   int // connections that wait to be accepted: net.core.somaxconn
}

// ownDescriptors are for what is not a device: the terminal, lists, the poller, names that are resolved.
const ownDescriptors = 32

// thisMachine is the one that the process runs on.
func thisMachine() machine {
	m := machine{
		descriptors: descriptors.Limit(),
		nrOpen:      numberIn("/proc/sys/fs/nr_open"),
		somaxconn:   numberIn("/proc/sys/net/core/somaxconn"),
	}
	var first, last int
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if n, _ := fmt.Sscan(string(b), &first, &last); n == 2 && first <= last {
			m.ports = last - first + 1
		}
	}
	return m
}

// numberIn is the number in a file of the system, 0 if there is none.
func numberIn(path string) (n int) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscan(strings.TrimSpace(string(b)), &n)
	return n
}

// checkMachine says what of this machine is in the way of a fleet, unless it does not use its network.
func checkMachine(o *Options) error {
	if o.Dial != nil {
		return nil
	}
	m := thisMachine()
	if warning := m.warning(o); warning != "" && o.Progress != nil {
		fmt.Fprintln(o.Progress, warning)
	}
	return m.allows(o)
}

// allows says all that is in the way of a fleet, and what to do, before it has begun.
func (m machine) allows(o *Options) error {
	return errors.Join(m.enoughDescriptors(o), m.enoughPorts(o), localOnes(o))
}

// localOnes says which source addresses are not this machine's.
func localOnes(o *Options) error {
	var errs []error
	for _, source := range o.sources() {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: source.AsSlice(), Zone: source.Zone()})
		if err != nil {
			errs = append(errs, fmt.Errorf("nothing can be sent from %v: %w: give this machine that address "+
				"(ip address add), or leave it out of --source-addresses", source, err))
			continue
		}
		_ = l.Close()
	}
	return errors.Join(errs...)
}

func (m machine) enoughDescriptors(o *Options) error {
	need := o.Devices + ownDescriptors
	if m.descriptors == 0 || need <= m.descriptors {
		return nil
	}
	raise := fmt.Sprintf("raise the limit (ulimit -n %d, LimitNOFILE in systemd, nofile of a container)", need)
	if m.nrOpen > 0 && need > m.nrOpen {
		raise = fmt.Sprintf("raise what a process may have at all (sysctl fs.nr_open=%d, now %d), and then its limit", need,
			m.nrOpen)
	}
	return fmt.Errorf("%d devices need %d file descriptors, and this process may have %d: %s, or share the fleet out "+
		"among several processes, each with its own --imei-base", o.Devices, need, m.descriptors, raise)
}

func (m machine) enoughPorts(o *Options) error {
	addresses := max(1, len(o.sources()))
	if m.ports == 0 || o.Devices <= addresses*m.ports {
		return nil
	}
	return fmt.Errorf("%d devices need a port each, and the source addresses (%d) have %d: "+
		"give %d --source-addresses, or widen net.ipv4.ip_local_port_range",
		o.Devices, addresses, addresses*m.ports, (o.Devices+m.ports-1)/m.ports)
}

// warning says what slows a fleet down and does not stop it; "" for nothing.
func (m machine) warning(o *Options) string {
	if m.somaxconn == 0 || !isLoopback(o.Address) || o.Ramp > 0 && o.Ramp <= float64(m.somaxconn) ||
		o.Devices <= m.somaxconn {
		return ""
	}
	return fmt.Sprintf("%d connections may wait to be accepted here, and more come at once: those above try again after "+
		"a second or more. Give a --ramp, or set net.core.somaxconn and net.ipv4.tcp_max_syn_backlog to 16384 before the "+
		"server starts", m.somaxconn)
}
