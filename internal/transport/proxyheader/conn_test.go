package proxyheader

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// tcpPair is a connection on loopback, our end and the peer's.
func tcpPair(tb testing.TB) (ours, theirs net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.Dial("tcp", l.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	if ours, err = l.Accept(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

func TestUntrustedPeer(t *testing.T) {
	trust, err := ParseTrust("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	for _, trust := range []*Trust{trust, nil, {}} {
		ours, theirs := tcpPair(t)
		if _, err := theirs.Write(good[0].header); err != nil {
			t.Fatal(err)
		}
		c, kind, err := trust.Header(ours)
		if c != ours || kind != Direct || err != nil {
			t.Fatalf("kind %v, %v: not left alone", kind, err)
		}
		got := make([]byte, len(good[0].header))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != string(good[0].header) {
			t.Errorf("the reader gets %q, %v", got, err)
		}
	}
}

func TestConnKeepsTheRest(t *testing.T) {
	ours, theirs := tcpPair(t)
	if _, err := theirs.Write(good[0].header); err != nil {
		t.Fatal(err)
	}
	c, kind, err := balancers(t).Header(ours)
	if err != nil || kind != Proxied {
		t.Fatal(kind, err)
	}
	if c.LocalAddr().String() != ours.LocalAddr().String() {
		t.Errorf("local address %v", c.LocalAddr())
	}
	if _, ok := c.RemoteAddr().(*net.TCPAddr); !ok {
		t.Errorf("the client's address is a %T", c.RemoteAddr())
	}
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the deadline is not the connection's")
	}
	if c.(interface{ NetConn() net.Conn }).NetConn() != ours {
		t.Error("the balancer's connection is lost")
	}
}

// A check of version 1 has the balancer's own address in it. A client on the balancer's machine has another port.
func TestCheckByOwnAddress(t *testing.T) {
	for _, own := range []bool{true, false} {
		ours, theirs := tcpPair(t)
		port := theirs.LocalAddr().(*net.TCPAddr).AddrPort().Port()
		if !own {
			port ^= 1
		}
		if _, err := theirs.Write(v1(port)); err != nil {
			t.Fatal(err)
		}
		_, kind, err := balancers(t).Header(ours)
		if err != nil || (kind == Check) != own {
			t.Errorf("own %v: kind %v, %v", own, kind, err)
		}
	}
}

func TestTLSBehindHeader(t *testing.T) {
	certificate := selfSigned(t)
	ours, theirs := tcpPair(t)
	done := make(chan error, 1)
	go func() {
		defer theirs.Close()
		if _, err := theirs.Write(good[8].header); err != nil {
			done <- err
			return
		}
		c := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})
		_, err := io.WriteString(c, behind)
		done <- err
	}()
	c, _, err := balancers(t).Header(ours)
	if err != nil {
		t.Fatal(err)
	}
	secured := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})
	got := make([]byte, len(behind))
	if _, err := io.ReadFull(secured, got); err != nil || string(got) != behind {
		t.Errorf("%q, %v", got, err)
	}
	if secured.RemoteAddr().String() != "198.51.100.7:40000" {
		t.Errorf("client %v", secured.RemoteAddr())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What a connection keeps once its header is read.
func TestIdleMemory(t *testing.T) {
	const n = 10_000
	trust, kept := balancers(t), make([]net.Conn, 0, n)
	streams := make([]stream, n)
	measure := func() uint64 {
		runtime.GC()
		runtime.GC() // the first leaves what pools hold
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := measure()
	for i := range streams {
		streams[i].Reader = &once{header: good[8].header}
		c, _, err := trust.Header(&streams[i])
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	streams[0].Reader = nil
	perConn := int64(measure()-before)/n - 32 // our once
	runtime.KeepAlive(kept)
	t.Logf("%d bytes a connection", perConn)
	if perConn > 256 {
		t.Errorf("a connection keeps %d bytes", perConn)
	}
}

// once gives a header.
type once struct{ header []byte }

func (o *once) Read(b []byte) (int, error) {
	n := copy(b, o.header)
	o.header = o.header[n:]
	return n, nil
}

func BenchmarkHeader(b *testing.B) {
	trust := balancers(b)
	for _, h := range []int{0, 8} {
		b.Run(good[h].name, func(b *testing.B) {
			ours, theirs := tcpPair(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := theirs.Write(good[h].header); err != nil {
					b.Fatal(err)
				}
				if _, _, err := trust.Header(ours); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(good[h].name+", one read", func(b *testing.B) {
			ours, theirs := tcpPair(b)
			buffer := make([]byte, len(good[h].header))
			for b.Loop() {
				if _, err := theirs.Write(good[h].header); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(ours, buffer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
