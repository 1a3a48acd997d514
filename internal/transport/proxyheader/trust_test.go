package proxyheader

import (
	"net"
	"strings"
	"testing"
)

func TestTrust(t *testing.T) {
	trust, err := ParseTrust(" 10.0.0.0/8,fd00::/8, 192.0.2.1,, ::ffff:203.0.113.9 ")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.255.0.1": true, "11.0.0.1": false, "fd12::1": true, "fe80::1": false, "192.0.2.1": true, "192.0.2.2": false,
		"203.0.113.9": true, "::ffff:10.0.0.1": true,
	} {
		if got := trust.Covers(&net.TCPAddr{IP: net.ParseIP(address)}); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if trust.Covers(&net.UnixAddr{Name: "10.0.0.1"}) || trust.Covers(nil) {
		t.Error("trusts what is not TCP")
	}
	if trust.Empty() {
		t.Error("empty")
	}
}

func TestTrustInNobody(t *testing.T) {
	for _, text := range []string{"", " , "} {
		trust, err := ParseTrust(text)
		if err != nil || !trust.Empty() || trust.Covers(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}) {
			t.Errorf("%q: %v, %v", text, trust, err)
		}
	}
}

func TestTrustErrorsNameEachEntry(t *testing.T) {
	_, err := ParseTrust("10.0.0.1/8, balancer.local, 192.0.2.77, 10.0.0.0/33, 0.0.0.0/0, fe80::1%eth0, ::/0, " +
		"1.2.3.4:80, ::ffff:10.0.0.0/104")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`"10.0.0.1/8": this is an address inside a network; did you mean 10.0.0.0/8, or 10.0.0.1 alone?`,
		`"balancer.local": use a network`, `"10.0.0.0/33": use`, `"0.0.0.0/0": this network is every address`,
		`"fe80::1%eth0": use`, `"::/0": this network`, `"1.2.3.4:80": use`, `"::ffff:10.0.0.0/104": use`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing of %s in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "192.0.2.77") {
		t.Errorf("names a right entry: %v", err)
	}
}
