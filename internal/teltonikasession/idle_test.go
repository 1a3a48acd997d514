package teltonikasession

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// idleConnections is how many connections BenchmarkIdleConnection opens, in two processes with a descriptor for each.
// The first ones are there before it measures: they have the server use the tables whose memory is the same for any
// number of connections.
const (
	idleConnections  = 10_000
	firstConnections = 2000
)

// BenchmarkIdleConnection measures how much the server's process grows for each logged-in connection: resident
// memory, without what the kernel keeps for the socket. The server is this test binary in a process of its
// own. "bare" is the least that is possible: a goroutine that waits in Read.
//
// KiB/conn is measured after a garbage collection, as after some idle minutes; peak-KiB/conn right after the last
// login.
func BenchmarkIdleConnection(b *testing.B) {
	for _, c := range []struct {
		name, server string
		frames       bool
	}{{"session", "session", false}, {"session-after-frame", "session", true}, {"bare", "bare", false}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				server := startIdleServer(b, c.server)
				first := server.connect(b, 0, firstConnections, c.frames)
				time.Sleep(2 * restAfter) // which gives memory back
				before := server.measure(b)
				conns := append(first, server.connect(b, firstConnections, idleConnections, c.frames)...)
				time.Sleep(2 * restAfter) // until they are what the name says
				after := server.measure(b)
				perConn := func(name string, kib int) { b.ReportMetric(float64(kib)/idleConnections, name) }
				perConn("KiB/conn", after.settled-before.settled)
				perConn("peak-KiB/conn", after.peak-before.peak)
				perConn("stack-KiB/conn", after.stacks-before.stacks)
				perConn("heap-KiB/conn", after.heap-before.heap)
				for _, conn := range conns {
					conn.Close()
				}
				server.end(b)
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

// idleServerVar makes the test binary a server: "session" or "bare".
const idleServerVar = "TELTONIKASESSION_TEST_IDLE_SERVER"

func startIdleServer(b *testing.B, kind string) *idleServer {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), idleServerVar+"="+kind)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s := &idleServer{cmd: cmd, in: in, out: bufio.NewReader(out)}
	b.Cleanup(func() { _ = cmd.Process.Kill() })
	if _, err := fmt.Fscanln(s.out, &s.address); err != nil {
		b.Fatal(err)
	}
	return s
}

// connect logs n devices in, of which the first has the number from, and lets each send a frame if frames is set.
func (s *idleServer) connect(b *testing.B, from, n int, frames bool) []net.Conn {
	conns := make([]net.Conn, n)
	var all sync.WaitGroup
	const workers = 16
	for w := range workers {
		all.Go(func() {
			for i := w; i < n; i += workers {
				conn, err := net.Dial("tcp", s.address)
				if err != nil {
					b.Error(err)
					return
				}
				conns[i] = conn
				conn.Write(loginOf(fmt.Sprint(356307042000000 + from + i)))
				if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
					b.Error(err)
				}
				if frames {
					conn.Write(goodFrame(10))
					if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
						b.Error(err)
					}
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

// size is how much memory a process uses, in KiB.
type size struct{ peak, settled, stacks, heap int }

func (s *idleServer) measure(b *testing.B) (m size) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fscanln(s.out, &m.peak, &m.settled, &m.stacks, &m.heap); err != nil {
		b.Fatal(err)
	}
	return m
}

func (s *idleServer) end(b *testing.B) {
	s.in.Close()
	if err := s.cmd.Wait(); err != nil {
		b.Error(err)
	}
}

// serveIdle is the server's process. It reports false in a process that is none.
func serveIdle() bool {
	kind := os.Getenv(idleServerVar)
	if kind == "" {
		return false
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if kind == "bare" {
		go serveBare(l)
	} else {
		newIdleService().Serve(l, nil)
	}
	fmt.Println(l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var m size
		m.peak = resident()
		debug.FreeOSMemory()
		debug.FreeOSMemory() // a second time for what pools and shrinking stacks let go
		m.settled = resident()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		m.stacks, m.heap = int(stats.StackInuse>>10), int(stats.HeapInuse>>10)
		fmt.Println(m.peak, m.settled, m.stacks, m.heap)
	}
	return true
}

// newIdleService is the real service but for its engine.
func newIdleService() *ingest.Server {
	registry := prometheus.NewRegistry()
	logger := logging.New(io.Discard, slog.LevelInfo, false)
	e := testkit.NewEngine(2)
	e.Forget()
	publisher := publish.New(publish.Options{Engine: e, Capacity: 10_000, LargestFrame: teltonika.MaxRecords,
		Timeout: publishTimeout,
		Metrics: publish.NewMetrics(prometheus.WrapRegistererWithPrefix("teltonika_", registry)), Logger: logger})
	adapter := New(Options{Publisher: publisher, Authority: known(imei), HandshakeTimeout: handshakeTimeout,
		IdleTimeout: idleTimeout, WriteTimeout: writeTimeout, MaxFrameBytes: maxFrameBytes,
		Metrics: NewMetrics(registry), Logger: logger})
	return ingest.New(ingest.Options{Adapter: adapter, MaxConnections: 2 * idleConnections,
		Metrics: ingest.NewMetrics(registry), Logger: logger})
}

// serveBare answers a login and waits for a byte.
func serveBare(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			b := make([]byte, 17)
			if _, err := io.ReadFull(conn, b); err != nil {
				return
			}
			conn.Write([]byte{1})
			conn.SetReadDeadline(time.Now().Add(idleTimeout))
			conn.Read(b)
		}()
	}
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
