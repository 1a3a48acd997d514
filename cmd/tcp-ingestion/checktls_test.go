package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wantRun runs a command, which ends with that exit code and says all that.
func wantRun(t *testing.T, settings map[string]string, code int, says []string, args ...string) {
	t.Helper()
	got, out, errOut := execute(t, settings, "", args...)
	if got != code {
		t.Errorf("%q: exit code %d, want %d\n%s%s", args, got, code, out, errOut)
	}
	for _, text := range says {
		if !strings.Contains(out+errOut, text) {
			t.Errorf("%q does not say %q:\n%s%s", args, text, out, errOut)
		}
	}
}

// TestCheckTLSOfAServer looks at a real server from the outside.
func TestCheckTLSOfAServer(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	s := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0", "TLS_DETECT", "true"))
	secure, root := s.address("devices-tls"), ca.path("ca.crt")

	for _, address := range []string{secure, s.devices} {
		wantRun(t, nil, 0, []string{"CN=server", "90.0 days left", "TLS 1.2", "session resumption", "for localhost"},
			"check", "tls", "--ca", root, "--server-name", "localhost", address)
	}
	wantRun(t, nil, 0, []string{"warning", "trackers.example.org"}, "check", "tls", "--ca", root, "--server-name",
		"trackers.example.org", secure)
	// this machine does not know the CA
	wantRun(t, nil, 1, []string{"error", "CA file", "devices cannot get in"}, "check", "tls", secure)
	wantRun(t, nil, 1, []string{"does not speak TLS"}, "check", "tls", s.http)
	wantRun(t, nil, 1, []string{"no connection"}, "check", "tls", freeAddress(t))
	ca.renew(-10)
	expired := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0"))
	wantRun(t, nil, 1, []string{"expired on", "renew it"}, "check", "tls", "--ca", root, expired.address("devices-tls"))

	wantRun(t, nil, 2, []string{"missing.crt"}, "check", "tls", "--ca", filepath.Join(ca.dir, "missing.crt"), secure)
	for _, wrong := range [][]string{{"localhost"}, {":5028"}, {secure, "again"}, {"--key", "x", secure},
		{"--prot", secure}} {
		wantRun(t, nil, 2, []string{"check tls --help"}, append([]string{"check", "tls"}, wrong...)...)
	}
}

// TestCheckTLSOfDevicesWithCertificates shows a device's certificate to a server that requires one.
func TestCheckTLSOfDevicesWithCertificates(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	s := startServer(t, ca.settings(embeddedStore(t), "TLS_PORT", "0", "TLS_CLIENT_CA_FILE", ca.path("ca.crt"),
		"TLS_CLIENT_AUTH", "require"))
	certificate, key := ca.writeDevice("356307042441013")
	address := s.address("devices-tls")
	wantRun(t, nil, 0, []string{"required", "give this check a device's certificate"}, "check", "tls", "--ca",
		ca.path("ca.crt"), address)
	wantRun(t, nil, 0, []string{"is accepted"}, "check", "tls", "--ca", ca.path("ca.crt"), "--cert", certificate, "--key",
		key, address)

	certificate, key = newCertificateAuthority(t).writeDevice("356307042441013")
	wantRun(t, nil, 1, []string{"does not accept the client certificate"},
		"check", "tls", "--ca", ca.path("ca.crt"), "--cert", certificate, "--key", key, address)
}

// TestCheckOfTheFiles looks at the settings' files, by check tls and by check.
func TestCheckOfTheFiles(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	settings := ca.settings(embeddedStore(t), "TLS_PORT", "0")
	root := ca.path("ca.crt")
	wantRun(t, settings, 0, []string{"tls:", "CN=server", "90.0 days left", "localhost", "durability:"}, "check")
	wantRun(t, settings, 0, []string{"90.0 days left", "leads to a trusted root", "for localhost"}, "check", "tls", "--ca",
		root, "--server-name", "localhost")
	wantRun(t, settings, 1, []string{"neither sent nor trusted"}, "check", "tls")
	wantRun(t, settings, 78, []string{"missing.crt"}, "check", "tls", "--tls-cert-file", ca.path("missing.crt"))
	wantRun(t, nil, 78, []string{"no TLS in the settings"}, "check", "tls")
	wantRun(t, settings, 2, []string{"unexpected argument"}, "check", "now")

	ca.renew(5)
	wantRun(t, settings, 0, []string{"warning:", "in 5.0 days"}, "check")
	ca.renew(-10)
	wantRun(t, settings, 1, []string{"error:", "expired", "durability:"}, "check")

	if err := os.Rename(ca.path("server.crt"), ca.path("old.crt")); err != nil {
		t.Fatal(err)
	}
	wantRun(t, settings, 78, []string{"TLS_CERT_FILE", "server.crt"}, "check")
	wantRun(t, settings, 78, []string{"TLS_CERT_FILE", "server.crt"}, "serve")
}

// TestCheckRefusesWhatServeRefuses: settings that name things are tried.
func TestCheckRefusesWhatServeRefuses(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"PROXY_PROTOCOL_FROM": "10.0.0.0/33", "COMMAND_POLICY": "/nowhere/policy", "BIND_ADDRESS": "127.0.0.1,127.0.0.1",
	} {
		settings := maps.Clone(embeddedStore(t).settings)
		settings[name] = value
		settings["TELTONIKA_PORT"], settings["METRICS_PORT"], settings["ADMIN_ADDRESS"] = "0", "0", ""
		wantRun(t, settings, 78, []string{name}, "check")
		wantRun(t, settings, 78, []string{name}, "serve")
	}
}
