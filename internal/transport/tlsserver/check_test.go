package tlsserver

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// checked returns the report on the service, by what devices know that trust the root.
func (s *service) checked(t *testing.T, root *issuer, change ...func(*CheckOptions)) *Report {
	t.Helper()
	o := CheckOptions{CAFile: write(t, filepath.Join(t.TempDir(), "root.crt"), certificatePEM(root)),
		Timeout: patienceOfTests}
	for _, c := range change {
		c(&o)
	}
	return Check(t.Context(), s.address, o)
}

func (r *Report) String() string {
	var b strings.Builder
	r.WriteTo(&b)
	return b.String()
}

func (r *Report) codes() (codes []string) {
	for _, p := range r.Problems {
		codes = append(codes, p.Code)
	}
	return codes
}

func TestCheckOfAGoodServer(t *testing.T) {
	root, dir := newRoot(t, "root"), t.TempDir()
	middle := root.issue(t, "middle", ecdsaKey(), asCA)
	writePair(t, dir, middle.issue(t, "server", rsaKey()), middle)
	s := startService(t, dir)
	r := s.checked(t, root)
	if !r.OK() || len(r.Problems) > 0 {
		t.Error("problems with a good server")
	}
	text := r.String()
	for _, want := range []string{"leads to a trusted root", "the handshake proves it", "the certificate is for 127.0.0.1",
		"TLS 1.2, TLS 1.3",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA",
		"3DES or RC4        no", "session resumption     yes", "not asked for", "RSA-2048", "2 certificates"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

func TestCheckFindsProblems(t *testing.T) {
	root := newRoot(t, "root")
	middle := root.issue(t, "middle", ecdsaKey(), asCA)
	oldKey := ecdsaKey()
	oldRoot := (&issuer{key: oldKey}).issue(t, "old root", oldKey, asCA, validFor(-1e4*time.Hour, -time.Hour))
	for name, c := range map[string]struct {
		chain   []*issuer
		options []serviceOption
		change  func(*CheckOptions)
		want    string
		ok      bool
	}{
		"missing issuer": {chain: []*issuer{middle.issue(t, "server", ecdsaKey())}, want: CodeChainGap},
		"root sent": {chain: []*issuer{middle.issue(t, "server", ecdsaKey()), middle, root}, want: CodeRootSent,
			ok: true},
		"another root": {chain: []*issuer{newRoot(t, "x").issue(t, "server", ecdsaKey())}, want: CodeChainGap},
		"self-signed":  {chain: []*issuer{(&issuer{key: rsaKey()}).issue(t, "server", rsaKey())}, want: CodeUntrusted},
		"expired": {chain: []*issuer{root.issue(t, "server", ecdsaKey(), validFor(-2*time.Hour, -time.Hour))},
			want: CodeExpired},
		"expired root": {chain: []*issuer{oldRoot.issue(t, "server", ecdsaKey())}, change: func(o *CheckOptions) {
			o.CAFile = write(t, o.CAFile, certificatePEM(oldRoot))
		}, want: CodeExpired},
		"not yet valid": {chain: []*issuer{root.issue(t, "server", ecdsaKey(), validFor(time.Hour, 1e4*time.Hour))},
			want: CodeNotYetValid},
		"expires soon": {chain: []*issuer{root.issue(t, "server", ecdsaKey(), validFor(-1e4*time.Hour, 48*time.Hour))},
			want: CodeExpiresSoon, ok: true},
		"another name": {chain: []*issuer{root.issue(t, "server", ecdsaKey())}, change: func(o *CheckOptions) {
			o.ServerName = "gw.example"
		}, want: CodeName, ok: true},
		"only TLS 1.3": {chain: []*issuer{root.issue(t, "server", ecdsaKey())},
			options: []serviceOption{minVersion(tls.VersionTLS13)}, want: CodeVersion, ok: true},
		"also TLS 1.0": {chain: []*issuer{root.issue(t, "server", ecdsaKey())},
			options: []serviceOption{minVersion(tls.VersionTLS10)}, want: CodeVersion, ok: true},
		"no CA file": {chain: []*issuer{root.issue(t, "server", ecdsaKey())}, change: func(o *CheckOptions) {
			o.CAFile += "x"
		}, want: CodeFile},
		"no device's key": {chain: []*issuer{root.issue(t, "server", ecdsaKey())}, change: func(o *CheckOptions) {
			o.CertFile = o.CAFile
		}, want: CodeFile},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writePair(t, dir, c.chain...)
			change := func(*CheckOptions) {}
			if c.change != nil {
				change = c.change
			}
			r := startService(t, dir, c.options...).checked(t, root, change)
			if r.OK() != c.ok || !slices.Equal(r.codes(), []string{c.want}) {
				t.Errorf("ok %v, problems %q, want %v, %q:\n%s", r.OK(), r.codes(), c.ok, c.want, r)
			}
		})
	}
}

func TestCheckWithClientCertificates(t *testing.T) {
	root, dir := newPKI(t)
	ca := write(t, filepath.Join(dir, "ca"), certificatePEM(root))
	own := root.issue(t, "356307042441013", ecdsaKey(), asClient)
	alien := newRoot(t, "alien").issue(t, "356307042441013", ecdsaKey(), asClient)
	show := func(c *issuer) func(*CheckOptions) {
		certFile, keyFile := writePair(t, t.TempDir(), c)
		return func(o *CheckOptions) { o.CertFile, o.KeyFile = certFile, keyFile }
	}
	for _, c := range []struct {
		auth   ClientAuth
		change func(*CheckOptions)
		ok     bool
		want   string
	}{
		{ClientAuthOptional, func(*CheckOptions) {}, true, "asked for, not required"},
		{ClientAuthRequire, func(*CheckOptions) {}, true, "give this check a device's certificate"},
		{ClientAuthRequire, show(own), true, "is accepted"},
		{ClientAuthRequire, show(alien), false, "does not accept the client certificate"},
	} {
		r := startService(t, dir, clientAuth(c.auth, ca)).checked(t, root, c.change)
		if r.OK() != c.ok || !strings.Contains(r.String(), c.want) {
			t.Errorf("%s: ok %v, want %v and %q in\n%s", c.auth, r.OK(), c.ok, c.want, r)
		}
	}
}

// TestCheckOfAServerThatEnds: whoever ends a finished handshake's connection without an alert has said nothing of the
// certificate.
func TestCheckOfAServerThatEnds(t *testing.T) {
	root, dir := newPKI(t)
	certFile, keyFile := writePair(t, dir, root.issue(t, "server", ecdsaKey()))
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}).Handshake()
			raw.Close()
		}
	})
	defer all.Wait()
	defer l.Close()
	device := root.issue(t, "356307042441013", ecdsaKey(), asClient)
	o := CheckOptions{CAFile: write(t, filepath.Join(dir, "root.crt"), certificatePEM(root)), Timeout: patienceOfTests,
		CertFile: write(t, filepath.Join(dir, "device.crt"), certificatePEM(device)),
		KeyFile:  write(t, filepath.Join(dir, "device.key"), device.keyPEM(t))}
	if r := Check(t.Context(), l.Addr().String(), o); !r.OK() || !strings.Contains(r.String(), "did not say whether") {
		t.Error(r)
	}
}

func TestCheckOfWhatIsNoTLSServer(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(net.Conn)
		want   string
	}{
		"closes": {func(net.Conn) {}, "closes the connection at a TLS hello"},
		"plain": {func(c net.Conn) {
			io.WriteString(c, "220 hello\r\n")
			c.Read(make([]byte, 4096))
		}, "does not speak TLS"},
		"silence": {func(c net.Conn) { io.Copy(io.Discard, c) }, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
					c.answer(conn)
					conn.Close()
				}
			}()
			r := Check(t.Context(), l.Addr().String(), CheckOptions{Timeout: 300 * time.Millisecond})
			if r.OK() || !strings.Contains(r.String(), c.want) {
				t.Errorf("want %q in\n%s", c.want, r)
			}
			l.Close()
			<-done
			if r = Check(t.Context(), l.Addr().String(), CheckOptions{}); !r.Has(CodeUnreachable) {
				t.Errorf("nobody listens, and the report is\n%s", r)
			}
		})
	}
	if r := Check(t.Context(), "nowhere", CheckOptions{}); !r.Has(CodeFile) {
		t.Errorf("address without port:\n%s", r)
	}
}

func TestCheckFiles(t *testing.T) {
	root, dir := newPKI(t)
	ca := write(t, filepath.Join(dir, "ca"), certificatePEM(root))
	check := func() *Report {
		return CheckFiles(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), ca,
			CheckOptions{CAFile: ca, ServerName: "localhost"})
	}
	if r := check(); !r.OK() || len(r.Problems) > 0 || !strings.Contains(r.String(), "belongs to the certificate") {
		t.Errorf("good files:\n%s", r)
	}
	for name, bad := range badFiles(t, root) {
		write(t, filepath.Join(dir, "tls.crt"), bad.cert)
		write(t, filepath.Join(dir, "tls.key"), bad.key)
		want := bad.want
		switch name {
		case "expired":
			want = "expired on"
		case "issuer first":
			want = "the key belongs to certificate 2"
		}
		if r := check(); r.OK() || !strings.Contains(r.String(), want) {
			t.Errorf("%s: want %q in\n%s", name, want, r)
		}
	}
}

func ExampleReport() {
	r := &Report{Facts: []Fact{{"versions", "TLS 1.2, TLS 1.3"}},
		Problems: []Problem{{Error, CodeExpired, "certificate \"CN=gw\" expired on 2026-11-01", "renew it"}}}
	var b strings.Builder
	r.WriteTo(&b)
	fmt.Print(b.String())
	// Output:
	// versions               TLS 1.2, TLS 1.3
	// error: certificate "CN=gw" expired on 2026-11-01
	//   remedy: renew it
}
