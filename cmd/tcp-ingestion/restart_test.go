package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// visitors are devices that connect, log in, deliver one record and leave, without a pause.
type visitors struct {
	stop    chan struct{}
	work    sync.WaitGroup
	served  atomic.Int64 // got their ACK
	refused atomic.Int64 // could not connect
	cut     atomic.Int64 // were connected, and it ended before the ACK
	first   sync.Map     // address: its first failure
}

// startVisitors has so many of them at each address. tls is for the addresses that it is not nil for.
func startVisitors(t testing.TB, each int, addresses map[string]*tls.Config) *visitors {
	t.Helper()
	v := &visitors{stop: make(chan struct{})}
	devices := 0
	for address, c := range addresses {
		for range each {
			devices++
			imei := fmt.Sprintf("3563070424%05d", devices)
			v.work.Go(func() { v.visit(address, c, imei) })
		}
	}
	t.Cleanup(func() { v.end() })
	return v
}

func (v *visitors) visit(address string, c *tls.Config, imei string) {
	for n := uint64(0); ; n++ {
		select {
		case <-v.stop:
			return
		default:
		}
		err := v.once(address, c, imei, recordTime+1000*n)
		var op *net.OpError
		switch {
		case err == nil:
			v.served.Add(1)
			continue
		case errors.As(err, &op) && op.Op == "dial":
			v.refused.Add(1)
		default:
			v.cut.Add(1)
		}
		v.first.LoadOrStore(address, err)
	}
}

// once is one visit. The connection is reset at its end, so that it leaves no port behind in TIME_WAIT.
func (v *visitors) once(address string, c *tls.Config, imei string, at uint64) error {
	raw, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.(*net.TCPConn).SetLinger(0)
	raw.SetDeadline(time.Now().Add(patience))
	conn := raw
	if c != nil {
		conn = tls.Client(raw, c)
	}
	data := teltonika.AVLData{Codec: teltonika.Codec8, Records: []teltonika.Record{{Timestamp: at}}}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		return err
	}
	login, err := teltonika.AppendLogin(nil, imei)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		send   []byte
		answer string
	}{{login, "\x01"}, {frame, "\x00\x00\x00\x01"}} {
		answer := make([]byte, len(step.answer))
		if _, err := conn.Write(step.send); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		if string(answer) != step.answer {
			return fmt.Errorf("answer % x", answer)
		}
	}
	return nil
}

// more waits until so many more are served.
func (v *visitors) more(t testing.TB, n int64) {
	t.Helper()
	until := v.served.Load() + n
	testkit.Eventually(t, "visitors are served", func() bool { return v.served.Load() >= until })
}

func (v *visitors) end() {
	select {
	case <-v.stop:
	default:
		close(v.stop)
	}
	v.work.Wait()
}

// settle ends them and says how it went.
func (v *visitors) settle(t testing.TB, restarts int) {
	t.Helper()
	v.end()
	t.Logf("%d restarts: %d visits served, %d refused, %d cut short", restarts, v.served.Load(), v.refused.Load(),
		v.cut.Load())
	v.first.Range(func(address, err any) bool {
		t.Logf("the first failure at %v: %v", address, err)
		return true
	})
}

// TestPortsAreNotSharedByMistake: a second process on the ports of the first does not start.
func TestPortsAreNotSharedByMistake(t *testing.T) {
	t.Parallel()
	store := redisStore(t)
	s := startServer(t, store.settings)
	_, port, _ := strings.Cut(s.devices, ":")
	code, _, errOut := execute(t, map[string]string{"DATA_DIR": t.TempDir(), "TELTONIKA_PORT": port, "METRICS_PORT": "0",
		"ADMIN_ADDRESS": "",
		"BIND_ADDRESS":  "127.0.0.1"}, "", "serve")
	if code != 1 || !strings.Contains(errOut, "TELTONIKA_PORT") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// TestBothFamilies: several addresses, IPv4 and IPv6, plain and TLS.
func TestBothFamilies(t *testing.T) {
	t.Parallel()
	ca, store := newCertificateAuthority(t), embeddedStore(t)
	ca.renew(90)
	s := startServer(t, ca.settings(store, "BIND_ADDRESS", "127.0.0.1,::1", "TLS_PORT", "0"))
	plain, secure := s.addresses("devices", 2), s.addresses("devices-tls", 2)
	for i, prefix := range []string{"127.0.0.1:", "[::1]:"} {
		for j, address := range []string{plain[i], secure[i]} {
			if !strings.HasPrefix(address, prefix) {
				t.Errorf("listens on %s, want %s", address, prefix)
			}
			imei := fmt.Sprintf("35630704244101%d", 2*i+j)
			dial := testkit.Dial
			if j == 1 {
				dial = func(t testing.TB, address string) *testkit.Tracker { return dialTLS(t, address, ca.trusting()) }
			}
			device := dial(t, address)
			device.MustLogin(imei)
			sendOne(device, recordTime)
			local := device.Conn.LocalAddr().String()
			if d := s.device(imei); d.Address != local {
				t.Errorf("the device of %s is shown as %+v", local, d)
			}
		}
	}
	if n := len(store.payloads(t)); n != 4 {
		t.Errorf("%d records stored", n)
	}
}
