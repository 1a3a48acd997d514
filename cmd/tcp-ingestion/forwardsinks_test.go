package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// receiver is a process that takes batches by HTTP and keeps them in a file.
type receiver struct {
	t    testing.TB
	port string
	file string
	cmd  *exec.Cmd
}

func startReceiver(t testing.TB) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	r := &receiver{t: t, port: port, file: filepath.Join(t.TempDir(), "received.jsonl")}
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *receiver) start() {
	r.t.Helper()
	r.cmd = exec.Command("python3", "testdata/receiver.py", r.port, r.file)
	r.cmd.Stderr = os.Stderr
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *receiver) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// documents are the whole lines of its file. A batch that it was killed in came again.
func (r *receiver) documents() (all []string) {
	text, err := os.ReadFile(r.file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if json.Valid([]byte(line)) {
			all = append(all, line)
		}
	}
	return all
}

// forwardParts are a server and all that stands between it and those who receive.
type forwardParts struct {
	t        *testing.T
	server   *server
	settings map[string]string // of the server
	toHTTP   map[string]string // of the process that delivers by HTTP
	toMQTT   map[string]string
	byHTTP   *server
	byMQTT   *server
	receiver *receiver
	broker   *testkit.Mosquitto
	reader   *testkit.Subscriber
	lives    int // of the broker
}

func newForwardParts(t *testing.T, store store) *forwardParts {
	t.Helper()
	p := &forwardParts{t: t, settings: maps.Clone(store.settings), receiver: startReceiver(t),
		broker: testkit.StartMosquitto(t), lives: 1}
	p.reader = p.broker.Subscribe("reader")
	p.broker.Save()
	p.server = startServer(t, p.settings)
	_, p.settings["TELTONIKA_PORT"], _ = strings.Cut(p.server.devices, ":")
	sink := func(group, to string) map[string]string {
		settings := maps.Clone(store.settings)
		maps.Copy(settings, map[string]string{"FORWARD_TO": to, "FORWARD_GROUP": group,
			"FORWARD_BATCH_RECORDS": "100", "FORWARD_BATCH_WAIT": "50ms"})
		return settings
	}
	p.toHTTP = sink("http", "http://127.0.0.1:"+p.receiver.port+"/records")
	p.toMQTT = sink("mqtt", "mqtt://"+p.broker.Addr())
	p.byHTTP, p.byMQTT = startForward(p.t, p.toHTTP), startForward(p.t, p.toMQTT)
	return p
}

// published are the documents that the broker's reader has got.
func (p *forwardParts) published() (all []string) {
	for _, m := range p.reader.Messages() {
		all = append(all, m.Payload)
	}
	return all
}

// awaitProgress waits until both sides have got more than they have by now.
func (p *forwardParts) awaitProgress(what string) {
	p.t.Helper()
	const more = 200
	received, published := len(p.receiver.documents()), len(p.published())
	testkit.EventuallyIn(p.t, "records go on after "+what, 2*patience, func() bool {
		return len(p.receiver.documents()) > received+more && len(p.published()) > published+more
	})
}

// kill kills each part once, and starts it again.
func (p *forwardParts) kill() {
	p.t.Helper()
	p.byHTTP.kill()
	p.byHTTP = startForward(p.t, p.toHTTP)
	p.awaitProgress("forward by HTTP was killed")
	p.byMQTT.kill()
	p.byMQTT = startForward(p.t, p.toMQTT)
	p.awaitProgress("forward by MQTT was killed")
	p.receiver.kill()
	p.receiver.start()
	p.awaitProgress("the receiver was killed")
	p.broker.Restart()
	p.lives++
	p.reader.AwaitSubscriptions(p.lives)
	p.awaitProgress("the broker was killed")
	p.server.kill()
	p.server = startServer(p.t, p.settings)
	p.awaitProgress("the server was killed")
}

// TestKillPartsOfForwarding kills the server, both forwarders, the receiver and the broker, one after the other, under
// a fleet. Whatever is stored is delivered to both, each device's in the order in which it is stored.
func TestKillPartsOfForwarding(t *testing.T) {
	t.Parallel()
	store := embeddedStore(t)
	p := newForwardParts(t, store)
	fleet := startFleet(t, p.server.devices, 20, func(o *simulate.Options) {
		moderate(o)
		o.Rate = 600
	})
	p.awaitProgress("the start")
	p.kill()
	fleet.endWith(t, p.server)
	want := idsByDevice(t, store.payloads(t))
	for name, got := range map[string]func() []string{"HTTP": p.receiver.documents, "MQTT": p.published} {
		testkit.Succeeds(t, "all is delivered by "+name, 3*patience, func() error {
			has := idsByDevice(t, got())
			for device, ids := range want {
				if !slices.Equal(has[device], ids) {
					return fmt.Errorf("%d devices of %d; %s has %d records of %d, or in another order", len(has), len(want),
						device, len(has[device]), len(ids))
				}
			}
			return nil
		})
	}
	for _, f := range []*server{p.byHTTP, p.byMQTT} {
		if n := f.metric("forward_refused_records_total"); n != 0 {
			t.Errorf("%v records are refused", n)
		}
		if code := f.stop(syscall.SIGTERM, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestSinksRefuseWrongSettings names all of them at once, and shows nothing secret.
func TestSinksRefuseWrongSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		settings map[string]string
		named    []string
	}{
		{map[string]string{"FORWARD_TO": "https://host/?token=hunter2", "FORWARD_HTTP_KEY": "whsec_hunter2-hunter2",
			"FORWARD_HTTP_TOKEN_FILE": "/nowhere", "FORWARD_HTTP_HEADER": "hunter2", "FORWARD_TLS_CA_FILE": "/no-ca"},
			[]string{"FORWARD_HTTP_KEY", "FORWARD_HTTP_TOKEN_FILE", "FORWARD_HTTP_HEADER", "FORWARD_TLS_CA_FILE"}},
		{map[string]string{"FORWARD_TO": "mqtts://host", "FORWARD_MQTT_USER": "me",
			"FORWARD_MQTT_PASSWORD_FILE": "/nowhere", "FORWARD_MQTT_TOPIC": "a/{imei}",
			"FORWARD_TLS_CERT_FILE": "/no", "FORWARD_TLS_KEY_FILE": "/no"},
			[]string{"FORWARD_MQTT_PASSWORD_FILE", "FORWARD_MQTT_TOPIC", "FORWARD_TLS_CERT_FILE"}},
	} {
		c.settings["DATA_DIR"] = t.TempDir()
		code, _, errOut := execute(t, c.settings, "", "forward")
		if code != exitSettings || strings.Contains(errOut, "hunter2") {
			t.Errorf("exit code %d: %s", code, errOut)
		}
		for _, setting := range c.named {
			if !strings.Contains(errOut, setting+": ") {
				t.Errorf("%s is not named in %s", setting, errOut)
			}
		}
	}
}

// TestForwardToDiskThatIsFull ends with 1, after which systemd tries again; a wrong setting ends with 78.
func TestForwardToDiskThatIsFull(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := syscall.Mount("tmpfs", full, "tmpfs", 0, "size=4k,nr_inodes=1"); err != nil {
		t.Fatalf("mount tmpfs (the tests need root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(full, 0) })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, format string
		code        int
	}{
		{full + "/out", "native", exitFailure}, {full + "/out", "xml", exitSettings}, {file + "/out", "native", exitSettings},
	} {
		settings := map[string]string{"DATA_DIR": t.TempDir(), "FORWARD_TO": "file:" + c.dir, "FORWARD_FORMAT": c.format}
		code, _, errOut := execute(t, settings, "", "forward")
		if code != c.code || !strings.Contains(errOut, "FORWARD_TO: ") {
			t.Errorf("%+v: exit code %d: %s", c, code, errOut)
		}
	}
}
