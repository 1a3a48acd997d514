package listen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const patience = 20 * time.Second

// childVariable makes the test binary a process that listens on what it is handed over.
const childVariable = "LISTEN_TEST_CHILD"

func TestMain(m *testing.M) {
	if ports := os.Getenv(childVariable); ports != "" {
		if err := child(ports); err != nil {
			fmt.Println("error:", err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child opens the named sockets on the given ports, says where, and answers one connection.
func child(ports string) error {
	s, err := New(Options{Names: names})
	if err != nil {
		return err
	}
	var devices, metrics int
	fmt.Sscanf(ports, "%d,%d", &devices, &metrics)
	ctx, host := context.Background(), []string{"127.0.0.1"}
	listeners, err := s.TCP(ctx, "devices", host, devices)
	if err != nil {
		return err
	}
	conns, err := s.UDP(ctx, "devices-udp", host, 0)
	if err != nil {
		return err
	}
	others, err := s.TCP(ctx, "metrics", host, metrics)
	if err != nil {
		return err
	}
	if err := s.Unused(); err != nil {
		return err
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if v, ok := os.LookupEnv(name); ok {
			return fmt.Errorf("%s=%s is left", name, v)
		}
	}
	for _, l := range append(listeners, others...) {
		fmt.Println("tcp", l.Addr())
	}
	for _, c := range conns {
		fmt.Println("udp", c.LocalAddr())
	}
	c, err := listeners[0].Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = io.Copy(c, c)
	return err
}

// handOver runs the child with sockets handed over and returns what it says, up to as many lines.
func handOver(t *testing.T, fdNames, ports string, lines int, files ...*os.File) []string {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, binary)
	cmd.Env = append(os.Environ(), childVariable+"="+ports, "LISTEN_FDNAMES="+fdNames,
		fmt.Sprint("LISTEN_FDS=", len(files)))
	cmd.ExtraFiles = files
	return run(t, cmd, lines)
}

func run(t *testing.T, cmd *exec.Cmd, lines int) []string {
	t.Helper()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var said []string
	for scanner := bufio.NewScanner(output); len(said) < lines && scanner.Scan(); {
		said = append(said, scanner.Text())
	}
	return said
}

// tcpFile is a listener to hand over, and its address.
func tcpFile(t *testing.T) (*os.File, *net.TCPAddr) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file, l.Addr().(*net.TCPAddr)
}

func udpFile(t *testing.T) (*os.File, *net.UDPAddr) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	file, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file, c.LocalAddr().(*net.UDPAddr)
}

// echoes expects the child's answer.
func echoes(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintln(c, "hello")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

func TestActivation(t *testing.T) {
	first, firstAddress := tcpFile(t)
	second, secondAddress := tcpFile(t)
	metrics, metricsAddress := tcpFile(t)
	datagrams, datagramsAddress := udpFile(t)
	said := handOver(t, "devices:devices:tcp-ingestion.socket:devices-udp", fmt.Sprintf("1,%d", metricsAddress.Port), 4,
		first, second, metrics, datagrams)
	want := []string{"tcp " + firstAddress.String(), "tcp " + secondAddress.String(), "tcp " + metricsAddress.String(),
		"udp " + datagramsAddress.String()}
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Fatalf("the process says %q, want %q", said, want)
	}
	c, err := net.Dial("tcp", firstAddress.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoes(t, c)
}

func TestActivationMistakes(t *testing.T) {
	tcp, address := tcpFile(t)
	udp, udpAddress := udpFile(t)
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	unixFile, err := unix.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer unixFile.Close()
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for _, m := range []struct {
		names string
		file  *os.File
		want  string
	}{
		{"device", tcp, `systemd socket "device" (tcp ` + address.String() +
			`): unknown name; use FileDescriptorName= with one of devices, devices-udp, metrics`},
		{"devices", udp, `systemd socket "devices" (udp ` + udpAddress.String() + `): devices needs a tcp socket`},
		{"unknown", tcp, `systemd socket "" (tcp ` + address.String() + `): nothing uses it`},
		{"", udp, `nothing uses it`},
		{"devices", unixFile, `systemd socket "devices", file descriptor 3: only TCP and UDP`},
		{"devices", plain, `file descriptor 3: socket operation on non-socket`},
	} {
		said := handOver(t, m.names, "0,0", 1, m.file)
		if len(said) != 1 || !strings.HasPrefix(said[0], "error: ") || !strings.Contains(said[0], m.want) {
			t.Errorf("%s: the process says %q, want %q", m.names, said, m.want)
		}
	}
}

func TestActivationOfAnotherProcess(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_FDNAMES", "nonsense")
	newSet(t)
	if _, ok := os.LookupEnv("LISTEN_FDS"); ok {
		t.Error("handed on")
	}
}

// The real thing opens the sockets, waits for a connection and starts the process.
func TestSystemdSocketActivate(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Fatal("this test needs systemd-socket-activate: apt-get install systemd")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(path, "--listen", address, "--fdname", "devices", "--setenv", childVariable+"=1,0", binary)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(patience); ; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			defer c.Close()
			echoes(t, c)
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
