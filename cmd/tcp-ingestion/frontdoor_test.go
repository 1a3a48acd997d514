package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// Strangers and broken devices against a real server, with honest devices beside them. All addresses are of the
// network 127/8, which are all this machine's.

// visitor is a connection from one of this machine's addresses that may fail, as an honest device's may in an attack.
type visitor struct {
	address string // of the server
	from    string
	conn    net.Conn
}

func (v *visitor) dial() error {
	dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(v.from)}}
	conn, err := dialer.Dial("tcp", v.address)
	if err == nil {
		v.conn = conn
		conn.SetDeadline(time.Now().Add(patience))
	}
	return err
}

// login connects and logs in.
func (v *visitor) login(imei string) error {
	if err := v.dial(); err != nil {
		return err
	}
	login, err := teltonika.AppendLogin(nil, imei)
	if err != nil {
		return err
	}
	v.conn.Write(login)
	return v.expect("\x01")
}

// report sends a record and waits until it is acknowledged.
func (v *visitor) report(time uint64) error {
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: []teltonika.Record{{Timestamp: time}}}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		return err
	}
	v.conn.Write(frame)
	return v.expect("\x00\x00\x00\x01")
}

func (v *visitor) expect(answer string) error {
	b := make([]byte, len(answer))
	if _, err := io.ReadFull(v.conn, b); err != nil {
		return err
	}
	if string(b) != answer {
		return fmt.Errorf("answer %x", b)
	}
	return nil
}

// honest has so many devices log in and report from the address, pause apart, and reports how many of them had it
// acknowledged and are still connected at the end.
func honest(t *testing.T, s *server, devices int, from string, pause time.Duration) (served int) {
	t.Helper()
	var (
		all  sync.WaitGroup
		done atomic.Int64
		ends = make(chan struct{})
	)
	for i := range devices {
		all.Go(func() {
			v := &visitor{address: s.devices, from: from}
			err := v.login(fmt.Sprintf("35630704244%04d", i))
			if v.conn != nil {
				defer v.conn.Close()
			}
			if err == nil {
				err = v.report(1_700_000_000_000)
			}
			if <-ends; err == nil {
				err = v.report(1_700_000_001_000)
			}
			if err != nil {
				t.Logf("honest device %d: %v", i, err)
				return
			}
			done.Add(1)
		})
		time.Sleep(pause) // between two devices that arrive
	}
	close(ends)
	all.Wait()
	return int(done.Load())
}

// attack keeps workers at it until the function that it returns is called.
func attack(workers int, act func(worker, round int)) (end func()) {
	var all sync.WaitGroup
	stop := make(chan struct{})
	for w := range workers {
		all.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
					act(w, round)
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(stop); all.Wait() })
}

const frontDoorPlaces = 400

func frontDoor(t *testing.T, settings map[string]string) *server {
	t.Helper()
	all := map[string]string{"ENGINE": "embedded", "DATA_DIR": t.TempDir(), "MAX_CONNECTIONS": fmt.Sprint(frontDoorPlaces)}
	for name, value := range settings {
		all[name] = value
	}
	return startServer(t, all)
}

// holdPlaces opens connections with made-up logins, or without any, from the addresses, until the server has no place
// left, and replaces each that is closed.
func holdPlaces(t *testing.T, s *server, login bool, from ...string) (end func()) {
	t.Helper()
	end = attack(frontDoorPlaces+100, func(worker, round int) {
		v := &visitor{address: s.devices, from: from[worker%len(from)]}
		var err error
		if login {
			err = v.login(fmt.Sprintf("9%04d%09d", worker, round))
		} else {
			err = v.dial()
		}
		if err == nil { // held until it is closed, or the test ends
			v.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
			v.conn.Read(make([]byte, 1))
		}
		if v.conn != nil {
			v.conn.Close()
		}
		time.Sleep(200 * time.Millisecond) // the pace of an attack
	})
	testkit.Eventually(t, "all places are taken", func() bool {
		return s.metric("teltonika_connections_active") >= frontDoorPlaces-10
	})
	return end
}

// Before, one address held 400 of 400 places with made-up logins, and no honest device got in.
func TestMadeUpLoginsKeepNobodyOut(t *testing.T) {
	const devices = 20
	list := filepath.Join(t.TempDir(), "devices")
	var lines []byte
	for i := range devices {
		lines = fmt.Appendf(lines, "35630704244%04d\n", i)
	}
	if err := os.WriteFile(list, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		settings map[string]string
		login    bool
		from     []string
	}{
		"logins from one address":          {nil, true, []string{"127.0.0.66"}},
		"logins from the devices' address": {nil, true, []string{"127.0.0.2"}},
		"logins from three addresses":      {nil, true, []string{"127.0.0.66", "127.0.0.67", "127.0.0.68"}},
		"silence from one address":         {nil, false, []string{"127.0.0.66"}},
		"logins from one address, and a list": {map[string]string{"DEVICE_AUTHORITY_MODE": "file_allow_list",
			"DEVICE_ALLOW_LIST": list}, true, []string{"127.0.0.66"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := frontDoor(t, c.settings)
			end := holdPlaces(t, s, c.login, c.from...)
			defer end()
			served := honest(t, s, devices, "127.0.0.2", 50*time.Millisecond)
			t.Logf("%d of %d honest devices served", served, devices)
			if served != devices {
				t.Fail()
			}
		})
	}
}

// Before, a broken device that came back 20 times a second behind a carrier's NAT shut its whole address out: 12 of 126
// honest devices got in.
func TestBrokenDeviceLeavesItsAddressOpen(t *testing.T) {
	const devices = 126
	login, err := teltonika.AppendLogin(nil, "356307042440000")
	if err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string][]byte{"silent": nil, "half a login": login[:9],
		"no login": []byte("GET / HTTP/1.1\r\n\r\n")} {
		t.Run(name, func(t *testing.T) {
			s := frontDoor(t, nil)
			broken := func(stay time.Duration) {
				v := &visitor{address: s.devices, from: "127.0.0.2"}
				if v.dial() == nil {
					v.conn.Write(first)
					time.Sleep(stay) // connected
					v.conn.Close()
				}
			}
			for range 300 { // it has been at it for a while
				broken(0)
			}
			defer attack(1, func(int, int) { broken(50 * time.Millisecond) })()
			served := honest(t, s, devices, "127.0.0.2", 30*time.Millisecond)
			t.Logf("%d of %d honest devices served", served, devices)
			if served != devices {
				t.Fail()
			}
		})
	}
}

// Before, 1,100 sockets that announced 65,000 bytes and sent nothing took all places for large frames: 8 of 36 honest
// frames of 3.9 KB were acknowledged.
func TestLargeFramesThatDoNotComeKeepNobodyWaiting(t *testing.T) {
	const devices = 36
	frame := frameOfSize(t, 1, 65_000)
	for name, sent := range map[string]int{"announced": 8, "half sent": 33 << 10} {
		t.Run(name, func(t *testing.T) {
			s := frontDoor(t, map[string]string{"MAX_CONNECTIONS": "2000"})
			end := attack(1100, func(worker, round int) {
				v := &visitor{address: s.devices, from: "127.0.0.66"}
				if v.login(fmt.Sprintf("9%04d%09d", worker, round)) == nil {
					v.conn.Write(frame[:sent])
					v.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
					v.conn.Read(make([]byte, 1))
				}
				if v.conn != nil {
					v.conn.Close()
				}
			})
			testkit.Eventually(t, "they are there", func() bool { return s.metric("teltonika_connections_active") >= 1100 })
			var all sync.WaitGroup
			var served atomic.Int64
			for i := range devices {
				all.Go(func() {
					v := &visitor{address: s.devices, from: "127.0.0.2"}
					err := v.login(fmt.Sprintf("35630704244%04d", i))
					if err == nil {
						v.conn.Write(frameOfSize(t, 1, 3900))
						err = v.expect("\x00\x00\x00\x01")
					}
					if v.conn != nil {
						v.conn.Close()
					}
					if err != nil {
						t.Logf("honest device %d: %v", i, err)
						return
					}
					served.Add(1)
				})
			}
			begun := time.Now()
			all.Wait()
			t.Logf("%d of %d honest frames acknowledged in %v", served.Load(), devices, time.Since(begun))
			if served.Load() != devices {
				t.Fail()
			}
			end()
		})
	}
}
