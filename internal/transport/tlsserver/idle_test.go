package tlsserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"github.com/prometheus/client_golang/prometheus"
)

// idleConnections is how many connections BenchmarkIdleConnection opens.
const idleConnections = 4000

// BenchmarkIdleConnection measures how much a server's process grows for each connection that has logged in and sent a
// frame of 1,300 bytes, and now waits: memory after a garbage collection, without what the kernel keeps. The server
// is this test binary in a process of its own. "crypto-tls" waits in the Read of a bare tls.Conn.
func BenchmarkIdleConnection(b *testing.B) {
	root := newRoot(b, "root")
	dir := b.TempDir()
	certFile, keyFile := writePair(b, dir, root.issue(b, "server", ecdsaKey()))
	ca := write(b, filepath.Join(dir, "ca.crt"), certificatePEM(root))
	device := root.issue(b, "356307042441013", ecdsaKey(), asClient)
	client := &tls.Config{RootCAs: root.pool(), ServerName: "localhost", MaxVersion: tls.VersionTLS12}
	named := client.Clone()
	named.Certificates = []tls.Certificate{{Certificate: [][]byte{device.certificate.Raw}, PrivateKey: device.key}}
	latest := client.Clone()
	latest.MaxVersion = tls.VersionTLS13
	for _, c := range []struct {
		name, server string
		config       *tls.Config
	}{{"plain", "detect", nil}, {"tls1.2", "wrap", client}, {"tls1.3", "wrap", latest}, {"tls1.2-client-certificate",
		"wrap", named},
		{"crypto-tls1.2", "bare", client}, {"crypto-tls1.3", "bare", latest}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				server := startIdleServer(b, c.server, certFile, keyFile, ca)
				before := server.measure(b)
				conns := server.connect(b, c.config)
				testkit.Eventually(b, "all wait for another frame", func() bool {
					return server.measure(b).idle == idleConnections
				})
				after := server.measure(b)
				perConn := func(name string, kib int) { b.ReportMetric(float64(kib)/idleConnections, name) }
				perConn("KiB/conn", after.settled-before.settled)
				perConn("stack-KiB/conn", after.stacks-before.stacks)
				perConn("heap-KiB/conn", after.heap-before.heap)
				for _, conn := range conns {
					conn.Close()
				}
				server.in.Close()
				server.cmd.Wait()
			}
		})
	}
}

// idleServer is a process that serves connections and says on demand how large it is.
type idleServer struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	address string
}

// idleServerVar makes the test binary a server: "wrap", "detect" or "bare", and its files.
const idleServerVar = "TLSSERVER_TEST_IDLE_SERVER"

func startIdleServer(b *testing.B, kind, certFile, keyFile, ca string) *idleServer {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), idleServerVar+"="+strings.Join([]string{kind, certFile, keyFile, ca}, "|"))
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		b.Fatal(inErr, outErr)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill() })
	s := &idleServer{cmd: cmd, in: in, out: bufio.NewReader(out)}
	if _, err := fmt.Fscanln(s.out, &s.address); err != nil {
		b.Fatal(err)
	}
	return s
}

func (s *idleServer) connect(b *testing.B, c *tls.Config) []net.Conn {
	conns := make([]net.Conn, idleConnections)
	var all sync.WaitGroup
	const workers = 8
	for w := range workers {
		all.Go(func() {
			for i := w; i < idleConnections; i += workers {
				conn, err := net.Dial("tcp", s.address)
				if err != nil {
					b.Error(err)
					return
				}
				if conns[i] = conn; c != nil {
					conns[i] = tls.Client(conn, c)
				}
				if err := exchange(conns[i], "login login login"); err != nil {
					b.Error(err)
				}
				if err := exchange(conns[i], frameOf(1300)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return conns
}

// frameOf is a message that says its own length, which is what the idle server expects behind the login.
func frameOf(n int) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(n))) + strings.Repeat("x", n)
}

// size is how much memory a process uses, in KiB, and how many of its connections have had their frame.
type size struct{ settled, stacks, heap, idle int }

func (s *idleServer) measure(b *testing.B) (m size) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fscanln(s.out, &m.settled, &m.stacks, &m.heap, &m.idle); err != nil {
		b.Fatal(err)
	}
	return m
}

// serveIdle is the server's process. It reports false in a process that is none.
func serveIdle() bool {
	setting := os.Getenv(idleServerVar)
	if setting == "" {
		return false
	}
	args := strings.Split(setting, "|")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go acceptIdle(l, idleHandshake(args[0],
		Options{CertFile: args[1], KeyFile: args[2], ClientCAFile: args[3], ClientAuth: ClientAuthOptional,
			Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)}))
	fmt.Println(l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		debug.FreeOSMemory()
		debug.FreeOSMemory() // a second time for what pools and shrinking stacks let go
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		fmt.Println(resident(), stats.StackInuse>>10, stats.HeapInuse>>10, idle.Load())
	}
	return true
}

// idleHandshake makes a socket what the kind says.
func idleHandshake(kind string, o Options) func(net.Conn) net.Conn {
	s, err := New(o)
	if err != nil {
		panic(err)
	}
	return func(raw net.Conn) net.Conn {
		if kind == "bare" {
			conn := tls.Server(raw, s.current.Load().config)
			if err := conn.Handshake(); err != nil {
				panic(err)
			}
			return conn
		}
		conn := s.Detect(raw)
		ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
		defer cancel()
		if err := conn.Handshake(ctx); err != nil {
			panic(err)
		}
		return conn
	}
}

// acceptIdle serves as sessions do: every wait that may be long is one of a new goroutine, whose stack is small.
func acceptIdle(l net.Listener, handshake func(net.Conn) net.Conn) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			s := &idleSession{conn: handshake(raw)}
			if err := s.back(17); err == nil {
				go s.wait()
			}
		}()
	}
}

// idle is how many sessions have had a frame.
var idle atomic.Int64

type idleSession struct {
	conn net.Conn
	head [8]byte
}

func (s *idleSession) wait() {
	n := 0
	for n < len(s.head) {
		m, err := s.conn.Read(s.head[n:])
		if err != nil {
			return
		}
		n += m
	}
	if s.take() == nil {
		idle.Add(1)
		go s.wait()
	}
}

func (s *idleSession) take() error {
	if _, err := s.conn.Write(s.head[:]); err != nil {
		return err
	}
	return s.back(int(binary.BigEndian.Uint64(s.head[:])))
}

// back sends n bytes back.
func (s *idleSession) back(n int) error {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.conn, b); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// resident is this process's memory, in KiB.
func resident() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		panic(err)
	}
	return kib
}
