//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// earlySignal has a process send itself a signal before it does anything else.
const earlySignal = "TCP_INGESTION_TEST_EARLY_SIGNAL"

func signalItself() {
	if number, err := strconv.Atoi(os.Getenv(earlySignal)); err == nil {
		_ = syscall.Kill(os.Getpid(), syscall.Signal(number))
	}
}

// hang has nobody else open the file for as long as the kernel lets us keep it to ourselves, which is 45 s: as a file
// system does whose server is gone. The function that it returns ends that.
func hang(t *testing.T, path string) (end func()) {
	t.Helper()
	const setLease = 1024 // F_SETLEASE
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	testkit.Eventually(t, "nobody else has "+path+" open", func() bool { // as the watch of certificates has at times
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), setLease, syscall.F_WRLCK)
		return errno == 0
	})
	return func() { f.Close() }
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stopsSoon is within what time a process ends that has nothing to finish, on a busy machine. What hangs does so for
// longer.
const stopsSoon = 30 * time.Second

// A reload that hangs keeps neither devices nor the service manager waiting, and no signal from being heard.
func TestStopWhileAReloadHangs(t *testing.T) {
	ca := newCertificateAuthority(t)
	ca.renew(30)
	for setting, c := range map[string]struct {
		file  string
		needs map[string]string
	}{
		"LOG_LEVEL_FILE": {writeFile(t, "level", "info\n"), nil},
		"COMMAND_POLICY": {writeFile(t, "policy", "allow getinfo\n"), nil},
		"DEVICE_ALLOW_LIST": {writeFile(t, "list", "356307042441013\n"),
			map[string]string{"DEVICE_AUTHORITY_MODE": "file_allow_list"}},
		"TLS_CERT_FILE": {ca.path("server.crt"),
			map[string]string{"TLS_KEY_FILE": ca.path("server.key"), "TLS_PORT": "0"}},
	} {
		t.Run(setting, func(t *testing.T) {
			conn, socket := managerSocket(t)
			settings := map[string]string{"DATA_DIR": t.TempDir(), "NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "400000",
				setting: c.file}
			for name, value := range c.needs {
				settings[name] = value
			}
			s := startServer(t, settings)
			awaitMessage(t, conn, "READY=1")
			hang(t, c.file)
			s.cmd.Process.Signal(syscall.SIGHUP)
			awaitMessage(t, conn, "RELOADING=1")
			device := testkit.Dial(t, s.devices)
			device.MustLogin("356307042441013")
			device.SendFrame(teltonika.Codec8, teltonika.Record{Timestamp: 1_760_000_000_000})
			device.ExpectACK(1)
			s.cmd.Process.Signal(syscall.SIGHUP)
			if code := s.stop(syscall.SIGTERM, stopsSoon); code != 0 {
				t.Errorf("exit code %d\n%s", code, s.tail(10))
			}
			conn.SetReadDeadline(time.Now().Add(patience))
			for said, b := "", make([]byte, 4096); !strings.HasPrefix(said, "STOPPING=1"); {
				n, err := conn.Read(b)
				if err != nil {
					t.Fatalf("the service manager is not told of the stop: %v", err)
				}
				said = string(b[:n])
			}
		})
	}
}

// A file that hangs costs a reload its own setting and nothing else, and the watchdog is fed. When it answers again it
// is read.
func TestReloadGoesOnBesideAFileThatHangs(t *testing.T) {
	level, policy := writeFile(t, "level", "info\n"), writeFile(t, "policy", "allow getinfo\n")
	conn, socket := managerSocket(t)
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "400000",
		"LOG_LEVEL_FILE": level, "COMMAND_POLICY": policy})
	awaitMessage(t, conn, "READY=1")
	answers := hang(t, level)
	if err := os.WriteFile(policy, []byte("loud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	awaitMessage(t, conn, "RELOADING=1")
	awaitMessage(t, conn, "WATCHDOG=1")
	testkit.Eventually(t, "the other file is read", func() bool { return s.logged("command policy not reloaded") })
	awaitMessage(t, conn, "READY=1")
	testkit.Eventually(t, "the file that hangs is named", func() bool {
		return s.logged("reload hangs, the file does not answer") && s.logged("reloaded in part")
	})
	if err := os.WriteFile(policy, []byte("allow getinfo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	answers()
	s.cmd.Process.Signal(syscall.SIGHUP)
	testkit.Eventually(t, "everything is read", func() bool { return s.logged("reloaded") })
}

// A pipe in place of a file is no reason to wait for whoever writes into it, at the start or later.
func TestPipeInPlaceOfAFile(t *testing.T) {
	level, policy := writeFile(t, "level", "info\n"), writeFile(t, "policy", "allow getinfo\n")
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "LOG_LEVEL_FILE": level, "COMMAND_POLICY": policy})
	for _, path := range []string{level, policy} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	testkit.Eventually(t, "both are refused", func() bool {
		return s.logged("log level not reloaded") && s.logged("command policy not reloaded") && s.logged("reloaded in part")
	})
	if code := s.stop(syscall.SIGTERM, stopsSoon); code != 0 {
		t.Errorf("exit code %d", code)
	}

	s = startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "LOG_LEVEL_FILE": level})
	s.wantLogged("log level file not read")
	if code := s.stop(syscall.SIGTERM, stopsSoon); code != 0 {
		t.Errorf("exit code %d", code)
	}
	code, _, errOut := execute(t, map[string]string{"DATA_DIR": t.TempDir(), "COMMAND_POLICY": policy}, "", "serve")
	if code != exitSettings || !strings.Contains(errOut, "COMMAND_POLICY") ||
		!strings.Contains(errOut, "not a regular file") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// swallowing is an address whose packets get no answer: the queue of connections that nobody accepts is full.
func swallowing(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for {
		conn, err := net.DialTimeout("tcp", address, 500*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
}

// silent is an address that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// A start that waits, for the network or for a file, is given up at the first signal.
func TestStopDuringAStart(t *testing.T) {
	redis := func(address string, more ...string) map[string]string {
		settings := map[string]string{"REDIS_URL": "redis://" + address}
		for i := 0; i < len(more); i += 2 {
			settings[more[i]] = more[i+1]
		}
		return settings
	}
	list := []string{"DEVICE_AUTHORITY_MODE", "redis_allow_list", "STRICT_DEVICE_AUTH", "true"}
	level, policy := writeFile(t, "level", "info\n"), writeFile(t, "policy", "allow getinfo\n")
	for name, settings := range map[string]map[string]string{
		"redis whose packets are swallowed": redis(swallowing(t)),
		"redis that says nothing":           redis(silent(t)),
		"list whose packets are swallowed":  redis(swallowing(t), list...),
		"list that says nothing":            redis(silent(t), list...),
		"log level that hangs":              {"LOG_LEVEL_FILE": level, "DATA_DIR": t.TempDir()},
		"command policy that hangs":         {"COMMAND_POLICY": policy, "DATA_DIR": t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			file := settings["LOG_LEVEL_FILE"] + settings["COMMAND_POLICY"]
			if file != "" {
				hang(t, file)
			}
			s := launchServer(t, settings)
			testkit.Eventually(t, "the start waits", func() bool {
				return file == "" && s.logged("listening") || file != "" && opens(s.cmd.Process.Pid)
			})
			if code := s.stop(syscall.SIGTERM, stopsSoon); code != 0 {
				t.Errorf("exit code %d\n%s", code, s.tail(10))
			}
		})
	}
}

// opens reports whether a thread of the process waits for a file to be opened.
func opens(pid int) bool {
	calls, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	return err == nil && slices.ContainsFunc(calls, func(path string) bool {
		call, err := os.ReadFile(path)
		return err == nil && strings.HasPrefix(string(call), strconv.Itoa(syscall.SYS_OPENAT)+" ")
	})
}

// A log level that hangs is no reason to keep devices out.
func TestStartWithoutALogLevelThatHangs(t *testing.T) {
	level := writeFile(t, "level", "debug\n")
	hang(t, level)
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "LOG_LEVEL_FILE": level})
	s.wantLogged("log level file not read")
	if code := s.stop(syscall.SIGTERM, stopsSoon); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// What is said to the process before it has done anything is neither lost nor its end.
func TestSignalsBeforeTheStart(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), earlySignal: strconv.Itoa(int(syscall.SIGHUP))})
	testkit.Eventually(t, "reloaded", func() bool { return s.logged("reloaded") })
	if code := s.stop(syscall.SIGTERM, stopsSoon); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := launchServer(t, map[string]string{"DATA_DIR": t.TempDir(), earlySignal: strconv.Itoa(int(sig))})
		select {
		case <-s.exited:
		case <-time.After(stopsSoon):
			t.Fatalf("runs on after %v\n%s", sig, s.tail(10))
		}
		if code := s.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%v: exit code %d\n%s", sig, code, s.tail(10))
		}
	}
}

// A signal that comes at any moment of a start ends the process, be it in order or, before it hears any, at once.
func TestStopAtAnyMomentOfAStart(t *testing.T) {
	for delay := range 12 {
		s := launchServer(t, map[string]string{"DATA_DIR": t.TempDir()})
		time.Sleep(time.Duration(delay) * time.Millisecond) // is what is tested, not a wait
		if code := s.stop(syscall.SIGTERM, stopsSoon); code != 0 && code != -1 {
			t.Errorf("after %d ms: exit code %d\n%s", delay, code, s.tail(10))
		}
	}
}

// The program listens to signals before it initialises what takes time: other than the standard library, only what
// looks at the processor and allocates nothing comes earlier.
func TestSignalsAreHeardFirst(t *testing.T) {
	cmd := program(t, map[string]string{"GODEBUG": "inittrace=1"}, "version")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	before, after, heard := strings.Cut(trace.String(), "init git.dev.trmtracking.org/trm/tcp-ingestion/internal/signals ")
	if !heard || !strings.Contains(after, "init github.com/") {
		t.Fatalf("initialised in this order:\n%s", trace.String())
	}
	for line := range strings.Lines(before) {
		// Go initialises first what needs least. These pools need less than hearing signals does, and take 0.02 ms.
		if strings.HasPrefix(line, "init github.com/jackc/pgx/v5/internal/iobufpool ") {
			continue
		}
		if strings.HasPrefix(line, "init github.com/") && !strings.Contains(line, " 0 allocs") {
			t.Errorf("initialised before signals are heard: %s", line)
		}
	}
}

// A command that takes no signals itself is ended by them.
func TestSignalEndsACommandThatWaits(t *testing.T) {
	for _, early := range []bool{false, true} {
		settings := map[string]string{}
		if early {
			settings[earlySignal] = strconv.Itoa(int(syscall.SIGINT))
		}
		cmd := program(t, settings, "decode")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if !early {
			fmt.Fprintln(in, "ff") // which it answers, so that it is known to run
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			cmd.Process.Signal(syscall.SIGINT)
		}
		timer := time.AfterFunc(stopsSoon, func() { cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGINT {
			t.Errorf("early %v: ended by %v", early, cmd.ProcessState)
		}
	}
}
