package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestFleetOnOneBox logs a fleet in from several addresses, has it report, kills all servers, has all devices come back
// at once, and stops the servers with all devices connected. No device is refused, and nothing acknowledged is lost.
//
// `make fleet` has it be large. Then it prints what a connection and a frame cost, which must be within bounds, and
// sheds a fifth of the devices.
func TestFleetOnOneBox(t *testing.T) {
	measured := os.Getenv("FLEET_DEVICES") != ""
	if !measured {
		t.Parallel()
	}
	b := newOneBox(t)
	b.startServers()
	b.startFleets()
	b.figure("all devices logged in after", "%v", b.awaitAll())
	if measured {
		b.measure()
		b.shed()
	} else {
		b.awaitFrames(1)
	}
	for _, p := range b.all() {
		p.server.kill()
	}
	b.startServers()
	b.figure("all devices back after a kill -9, from the servers' start", "%v", b.awaitAll())
	b.stopServers()
	b.startServers()
	b.figure("all devices back after that stop, from the servers' start", "%v", b.awaitAll())
	b.wantNobodyRefused()
	b.endFleets()
	t.Logf("%d devices, a frame each %v, %d server(s)\n%s", b.devices, b.interval, len(b.parts), b.table.String())
}

// oneBox is a fleet on this machine: as many servers as the file descriptors of a process make necessary, each with a
// simulate of its own; and one with few devices and as many frames a second, which the figures are compared with.
type oneBox struct {
	*testing.T
	devices  int
	interval time.Duration // between two frames of a device
	store    store
	ca       *certificateAuthority // nil without TLS
	parts    []*boxPart
	few      *boxPart
	kernel   float64 // what sockets took at the beginning, in KiB
	table    strings.Builder
}

// boxPart is a server and its devices.
type boxPart struct {
	server   *server
	settings map[string]string
	devices  int
	imeiBase int
	fleet    *exec.Cmd
	dir      string
}

// fewDevices are those of the server that is compared with, at most.
const fewDevices = 1000

func newOneBox(t *testing.T) *oneBox {
	from := func(name, otherwise string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	devices, err := strconv.Atoi(from("FLEET_DEVICES", "2000"))
	if err != nil {
		t.Fatal(err)
	}
	interval, err := time.ParseDuration(from("FLEET_INTERVAL", "4s"))
	if err != nil {
		t.Fatal(err)
	}
	b := &oneBox{T: t, devices: devices, interval: interval, store: redisStore(t), kernel: socketMemory()}
	if os.Getenv("FLEET_TRANSPORT") == "tls" {
		b.ca = newCertificateAuthority(t)
		b.ca.renew(30)
	}
	most := descriptorLimit() - max(descriptorLimit()/10, minReserve) // MAX_CONNECTIONS
	servers := (devices + most - 1) / most
	for i := range servers {
		b.parts = append(b.parts, b.newPart(i, devices/servers))
	}
	b.parts[0].devices += devices % servers
	b.few = b.newPart(servers, min(fewDevices, devices/servers/4))
	return b
}

func (b *oneBox) newPart(i, devices int) *boxPart {
	p := &boxPart{devices: devices, imeiBase: 350000000000000 + i*1_000_000, dir: b.TempDir()}
	if b.ca != nil {
		p.settings = b.ca.settings(b.store, "TLS_DETECT", "true")
	} else {
		p.settings = maps.Clone(b.store.settings)
	}
	p.settings["INSTANCE_ID"], p.settings["DATA_DIR"] = fmt.Sprint("box-", i), p.dir
	return p
}

func (b *oneBox) all() []*boxPart { return append(b.parts[:len(b.parts):len(b.parts)], b.few) }

// startServers starts them on the ports that they had, if they had any.
func (b *oneBox) startServers() {
	for _, p := range b.all() {
		p.server = startServer(b, p.settings)
		_, p.settings["TELTONIKA_PORT"], _ = strings.Cut(p.server.devices, ":")
	}
}

// framesPerServer is the frames a second of each server.
func (b *oneBox) framesPerServer() float64 {
	return float64(b.parts[len(b.parts)-1].devices) / b.interval.Seconds()
}

// startFleets starts all devices, 4,000 a second, from eight addresses.
func (b *oneBox) startFleets() {
	for _, p := range b.all() {
		args := []string{"simulate", "--address", p.server.devices, "--devices", fmt.Sprint(p.devices), "--json", "--quiet",
			"--records-per-frame", "1", "--rate", fmt.Sprint(b.framesPerServer()), "--source-addresses", "8",
			"--ramp", fmt.Sprint(4000 / len(b.all())), "--imei-base", fmt.Sprint(p.imeiBase),
			"--ledger", filepath.Join(p.dir, "ledger")}
		if b.ca != nil {
			args = append(args, "--transport", "tls", "--tls-insecure")
		}
		result, err := os.Create(filepath.Join(p.dir, "result"))
		if err != nil {
			b.Fatal(err)
		}
		defer result.Close()
		p.fleet = program(b, nil, args...)
		p.fleet.Stdout, p.fleet.Stderr = result, os.Stderr
		if err := p.fleet.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = p.fleet.Process.Kill() })
	}
}

// awaitAll waits until every device is connected and logged in, and returns how long that took.
func (b *oneBox) awaitAll() time.Duration {
	begin := time.Now()
	for _, p := range b.all() {
		testkit.EventuallyIn(b, "all devices are connected", 3*time.Minute, func() bool {
			time.Sleep(20 * time.Millisecond) // asking often would be what takes the time
			return p.server.metric("teltonika_connections_active") == float64(p.devices) &&
				p.server.series("teltonika_handshake_total", `result="accepted"`) >= float64(p.devices)
		})
	}
	return time.Since(begin).Round(10 * time.Millisecond)
}

func (p *boxPart) frames() float64 { return p.server.metric("teltonika_frames_total") }

// awaitFrames waits until each server has had so many frames of each of its devices.
func (b *oneBox) awaitFrames(each int) {
	for _, p := range b.all() {
		testkit.EventuallyIn(b, "devices report", time.Duration(each+1)*b.interval+patience, func() bool {
			time.Sleep(20 * time.Millisecond)
			return p.frames() >= float64(each*p.devices)
		})
	}
}

// shed has a fifth of the devices leave, between two frames, and come back. They have been there for longer than a
// minute, which those of a short test have not.
func (b *oneBox) shed() {
	begin := time.Now()
	for _, p := range b.all() {
		if code, _, errOut := ask(p.server, "shed", "20%"); code != 0 {
			b.Errorf("%s: exit code %d, %s", p.settings["INSTANCE_ID"], code, errOut)
		}
	}
	for _, p := range b.all() {
		want := float64((p.devices + 4) / 5)
		testkit.EventuallyIn(b, "a fifth of the devices has left", patience+shed.Over, func() bool {
			return p.server.series("teltonika_connections_shed_total", `cause="request"`) == want
		})
	}
	b.awaitAll()
	b.figure("a fifth of the devices shed and back", "%v", time.Since(begin).Round(10*time.Millisecond))
}

// stopServers stops all servers at once with their devices connected, within SHUTDOWN_TIMEOUT.
func (b *oneBox) stopServers() {
	begin := time.Now()
	for _, p := range b.all() {
		p.server.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range b.all() {
		if code := p.server.stop(syscall.Signal(0), patience); code != 0 {
			b.Errorf("%s: exit code %d", p.settings["INSTANCE_ID"], code)
		}
	}
	b.figure("SIGTERM to exit code 0, all devices connected", "%v", time.Since(begin).Round(10*time.Millisecond))
}

// wantNobodyRefused fails if a server has turned a device away since its start.
func (b *oneBox) wantNobodyRefused() {
	for _, p := range b.all() {
		for _, reason := range []string{"limit", "crowded_out", "rate_limited", "rejected", "overload"} {
			if n := p.server.series("teltonika_connections_closed_total", `reason="`+reason+`"`); n > 0 {
				b.Errorf("%s: %v connections closed, reason %s", p.settings["INSTANCE_ID"], n, reason)
			}
		}
	}
}

// endFleets lets the devices finish, and finds all that was acknowledged to them stored once.
func (b *oneBox) endFleets() {
	var ids []string
	for _, p := range b.all() {
		p.fleet.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range b.all() {
		_ = p.fleet.Wait() // what it prints says more
		out, err1 := os.ReadFile(filepath.Join(p.dir, "result"))
		ledger, err2 := os.ReadFile(filepath.Join(p.dir, "ledger"))
		var l simulate.Ledger
		if err := json.Unmarshal(out, &l); err != nil || err1 != nil || err2 != nil {
			b.Fatal(err, err1, err2, string(out))
		}
		if l.LoginsRefused+l.GivenUp+l.WrongAnswers > 0 || l.RecordsSent != l.RecordsAcknowledged {
			b.Errorf("%s: %s", p.settings["INSTANCE_ID"], out)
		}
		ids = append(ids, strings.Fields(string(ledger))...)
	}
	b.store.wantAll(b, ids, false)
}

// figure notes one for the table.
func (b *oneBox) figure(what, format string, value ...any) {
	fmt.Fprintf(&b.table, "| %s | %s |\n", what, fmt.Sprintf(format, value...))
}
