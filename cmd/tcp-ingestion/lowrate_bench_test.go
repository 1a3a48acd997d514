package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkLowRate is what a record costs when there are few: 100 devices send one a second each, and the server
// sleeps between two of them. It stands beside the full rate, and beside a bare server that does the least that an
// acknowledged record takes: it reads the frame, stores its bytes in the same place, and answers. One record a frame.
// With one processor the server's threads do not wake each other.
//
//	low-µs/rec, full-µs/rec  CPU of the server for one record, logins included
//	bare-µs/rec              that of the bare one, at the low rate
//	low/bare                 the ratio of the two
//	p50-ms, p99-ms           from a frame sent to its ACK received, at the low rate
//	bare-p50-ms, bare-p99-ms the same of the bare one
func BenchmarkLowRate(b *testing.B) {
	for _, processors := range []string{"all", "one"} {
		settings := map[string]string{}
		if processors == "one" {
			settings["GOMAXPROCS"] = "1"
		}
		b.Run("redis/processors="+processors, func(b *testing.B) {
			r := testkit.StartRedis(b)
			all := map[string]string{"REDIS_URL": r.URL(), "REDIS_STREAM_MAXLEN": "200000"}
			maps.Copy(all, settings)
			benchmarkLowRate(b, all, r.Addr())
		})
		b.Run("embedded/processors="+processors, func(b *testing.B) {
			benchmarkLowRate(b, settings, filepath.Join(b.TempDir(), "bare"))
		})
	}
}

func benchmarkLowRate(b *testing.B, settings map[string]string, bareStore string) {
	all := map[string]string{"DATA_DIR": b.TempDir()}
	for name, value := range settings {
		all[name] = value
	}
	s, bare := startServer(b, all), startBare(b, bareStore)
	low := []string{"--devices", "100", "--rate", "100", "--duration", "10s"}
	for b.Loop() {
		var cost, bareCost, ratio, full, p50, p99, bareP50, bareP99 []float64
		for range rounds {
			c, result := costOf(b, s, low...)
			bc, bareResult := costOf(b, bare, low...)
			cost, bareCost, ratio = append(cost, c), append(bareCost, bc), append(ratio, c/bc)
			p50, p99 = append(p50, result.Latency.P50), append(p99, result.Latency.P99)
			bareP50, bareP99 = append(bareP50, bareResult.Latency.P50), append(bareP99, bareResult.Latency.P99)
			c, _ = costOf(b, s, "--devices", "400", "--duration", "5s")
			full = append(full, c)
		}
		for name, values := range map[string][]float64{
			"low-µs/rec": cost, "bare-µs/rec": bareCost, "low/bare": ratio, "full-µs/rec": full,
			"p50-ms": p50, "p99-ms": p99, "bare-p50-ms": bareP50, "bare-p99-ms": bareP99,
		} {
			b.ReportMetric(median(values), name)
		}
		b.ReportMetric(0, "ns/op")
	}
}

// costOf runs a fleet with one record a frame, and returns the server's CPU for a record, in µs.
func costOf(b *testing.B, s *server, args ...string) (float64, fleetResult) {
	before := cpuSeconds(b, s.cmd.Process.Pid)
	result := runFleet(b, s, append([]string{"--records-per-frame", "1"}, args...)...)
	return (cpuSeconds(b, s.cmd.Process.Pid) - before) / result.Records * 1e6, result
}

// bareVar makes the test binary a bare server, which stores at the address of a Redis, or in a file.
const bareVar = "TCP_INGESTION_TEST_BARE"

func startBare(b *testing.B, store string) *server {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), bareVar+"="+store)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s := &server{t: b, cmd: cmd}
	if _, err := fmt.Fscanln(out, &s.devices); err != nil {
		b.Fatal(err)
	}
	return s
}

// serveBare does not return.
func serveBare(store string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	write, err := bareStore(store)
	must(err)
	fmt.Println(l.Addr())
	for {
		conn, err := l.Accept()
		must(err)
		go serveBareConn(conn, write)
	}
}

// bareStore returns what stores a frame, one at a time.
func bareStore(store string) (write func(frame []byte) error, err error) {
	var mu sync.Mutex
	if strings.HasPrefix(store, "/") {
		f, err := os.Create(store)
		return func(frame []byte) error {
			mu.Lock()
			defer mu.Unlock()
			if _, err := f.Write(frame); err != nil {
				return err
			}
			return f.Sync()
		}, err
	}
	conn, err := net.Dial("tcp", store)
	if err != nil {
		return nil, err
	}
	answers, out := bufio.NewReader(conn), []byte(nil)
	return func(frame []byte) error {
		mu.Lock()
		defer mu.Unlock()
		out = fmt.Appendf(out[:0], "*5\r\n$4\r\nXADD\r\n$4\r\nbare\r\n$1\r\n*\r\n$1\r\nf\r\n$%d\r\n", len(frame))
		if _, err := conn.Write(append(append(out, frame...), "\r\n"...)); err != nil {
			return err
		}
		for range 2 { // the length of the entry's id, and the id
			if _, err := answers.ReadSlice('\n'); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func serveBareConn(conn net.Conn, write func([]byte) error) {
	defer conn.Close()
	frame := make([]byte, 4<<10)
	const login = 2 + 15
	if _, err := io.ReadFull(conn, frame[:login]); err != nil {
		return
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return
	}
	const header, numberOfData = 8, 9
	for {
		if _, err := io.ReadFull(conn, frame[:header]); err != nil {
			return
		}
		end := header + int(binary.BigEndian.Uint32(frame[4:])) + 4
		if end > len(frame) {
			return
		}
		if _, err := io.ReadFull(conn, frame[header:end]); err != nil || write(frame[:end]) != nil {
			return
		}
		if _, err := conn.Write([]byte{0, 0, 0, frame[numberOfData]}); err != nil {
			return
		}
	}
}
