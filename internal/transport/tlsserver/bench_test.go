package tlsserver

import (
	"crypto"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkHandshake measures both sides of a handshake over loopback, which the test's devices compute in this process
// too; so a server alone does more.
func BenchmarkHandshake(b *testing.B) {
	for _, c := range []struct {
		name    string
		key     func() crypto.Signer
		version uint16
		suite   uint16
		resume  bool
	}{
		{"tls1.2-rsa2048", rsaKey, tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, false},
		{"tls1.2-rsa2048-key-exchange", rsaKey, tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_CBC_SHA, false},
		{"tls1.2-ecdsa-p256", ecdsaKey, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
		{"tls1.3-ecdsa-p256", ecdsaKey, tls.VersionTLS13, 0, false},
		{"tls1.2-resumed", rsaKey, tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			root, dir := newRoot(b, "root"), b.TempDir()
			writePair(b, dir, root.issue(b, "server", c.key()))
			s := startService(b, dir)
			device := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", MaxVersion: c.version,
				CurvePreferences: []tls.CurveID{tls.CurveP256}}
			if c.suite != 0 {
				device.CipherSuites = []uint16{c.suite}
			}
			if c.resume {
				device.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			b.SetParallelism(8)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					conn, err := tls.Dial("tcp", s.address, device)
					if err != nil {
						b.Error(err)
						return
					}
					conn.Close()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
		})
	}
}

// BenchmarkServerFlight measures what the server computes for a hello with an RSA key, as one processor does: the
// device's side is a recording.
func BenchmarkServerFlight(b *testing.B) {
	hello := clientHello(b)
	for name, key := range map[string]func() crypto.Signer{"rsa2048": rsaKey, "ecdsa-p256": ecdsaKey} {
		b.Run(name, func(b *testing.B) {
			root, dir := newRoot(b, "root"), b.TempDir()
			writePair(b, dir, root.issue(b, "server", key()))
			s, err := New(Options{CertFile: dir + "/tls.crt", KeyFile: dir + "/tls.key", Metrics: newTestMetrics(),
				Logger: discard})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s.Wrap(&scripted{hello, 4096}).Handshake(b.Context())
			}
		})
	}
}

// BenchmarkStorm measures what connected devices notice of a storm of handshakes: how long an echo takes, at the median
// and at the 99th percentile, in storms as a multiple of calm, in turns: with the default bound on handshakes, with one
// handshake for each processor, and without a bound. The storm sends a recorded hello again and again, which costs
// it nothing and the server an RSA signature.
func BenchmarkStorm(b *testing.B) {
	root, dir := newRoot(b, "root"), b.TempDir()
	writePair(b, dir, root.issue(b, "server", rsaKey()))
	hello := clientHello(b)
	type contender struct {
		name       string
		handshakes int
		*service
		device net.Conn
		storm  []time.Duration
	}
	all := []*contender{{name: "bounded"}, {name: "all-processors", handshakes: runtime.GOMAXPROCS(0)},
		{name: "unbounded", handshakes: 1 << 20}}
	for _, c := range all {
		c.service = startService(b, dir, func(_ *service, o *Options) { o.Handshakes, o.Logger = c.handshakes, discard })
		conn, err := c.dial(b, trusting(root))
		if err != nil {
			b.Fatal(err)
		}
		conn.SetDeadline(time.Time{})
		c.device = conn
	}
	var calm []time.Duration
	for b.Loop() {
		for _, c := range all {
			calm = append(calm, latencies(b, c.device, time.Second)...)
			end := c.service.storm(hello)
			c.storm = append(c.storm, latencies(b, c.device, time.Second)...)
			end()
		}
	}
	at := func(d []time.Duration, q float64) float64 {
		slices.Sort(d)
		return float64(d[int(q*float64(len(d)-1))])
	}
	b.ReportMetric(at(calm, .5)/1e3, "calm-p50-µs")
	b.ReportMetric(at(calm, .99)/1e3, "calm-p99-µs")
	for _, c := range all {
		b.ReportMetric(at(c.storm, .5)/at(calm, .5), c.name+"/calm-p50")
		b.ReportMetric(at(c.storm, .99)/at(calm, .99), c.name+"/calm-p99")
	}
}

// storm keeps 200 connections at it until it is told to end.
func (s *service) storm(hello []byte) (end func()) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				conn, err := net.Dial("tcp", s.address)
				if err != nil {
					continue
				}
				conn.SetDeadline(time.Now().Add(patienceOfTests))
				conn.Write(hello)
				io.ReadFull(conn, make([]byte, 100)) // until the server has computed
				conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
		})
	}
	return func() {
		close(stop)
		all.Wait()
	}
}

// latencies are those of echoes, one every millisecond for some time: the pace of a device.
func latencies(b *testing.B, conn net.Conn, d time.Duration) (all []time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		begin := time.Now()
		if err := exchange(conn, "frame"); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(begin))
	}
	return all
}
