package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// natsIdentity is a key of an operator, an account or a user.
type natsIdentity struct {
	pair   nkeys.KeyPair
	public string
}

func newNATSIdentity(t testing.TB, create func() (nkeys.KeyPair, error)) natsIdentity {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return natsIdentity{pair, public}
}

// vouch is a token in which the identity says what another one may.
func (i natsIdentity) vouch(t testing.TB, subject, claims string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." + encode(fmt.Appendf(nil,
		`{"jti":"%s","iat":1700000000,"iss":"%s","sub":"%s","name":"test","nats":{%s,"version":2}}`,
		subject, i.public, subject, claims))
	signature, err := i.pair.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}

// secureNATS starts a server that wants TLS with a client's certificate, and a user's credentials.
func secureNATS(t testing.TB, ca *certificateAuthority) (settings map[string]string, seed string) {
	t.Helper()
	operator := newNATSIdentity(t, nkeys.CreateOperator)
	account, system := newNATSIdentity(t, nkeys.CreateAccount), newNATSIdentity(t, nkeys.CreateAccount)
	user := newNATSIdentity(t, nkeys.CreateUser)
	userToken := account.vouch(t, user.public, `"pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user"`)
	const everything = `"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,` +
		`"leaf":-1,"mem_storage":-1,"disk_storage":-1,"streams":-1,"consumer":-1},"type":"account"`
	const plain = `"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,` +
		`"leaf":-1},"type":"account"`
	secret, err := user.pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(creds, fmt.Appendf(nil, "-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"+
		"-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", userToken, secret), 0o600); err != nil {
		t.Fatal(err)
	}
	ca.renew(30)
	certFile, keyFile := ca.writeDevice("ingestion")
	n := testkit.StartNATSFor(t,
		[]nats.Option{nats.UserCredentials(creds), nats.RootCAs(ca.path("ca.crt")), nats.ClientCert(certFile, keyFile)}, 1,
		fmt.Sprintf("operator: %s", operator.vouch(t, operator.public, `"type":"operator"`)),
		fmt.Sprintf("resolver: MEMORY\nsystem_account: %s\nresolver_preload: { %s: %s, %s: %s }", system.public,
			account.public, operator.vouch(t, account.public, everything),
			system.public, operator.vouch(t, system.public, plain)),
		fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }",
			ca.path("server.crt"), ca.path("server.key"), ca.path("ca.crt")))
	return map[string]string{
		"ENGINE": "jetstream", "NATS_URL": strings.Replace(n.URL(), "nats://", "tls://", 1), "NATS_CREDS": creds,
		"NATS_TLS_CA_FILE": ca.path("ca.crt"), "NATS_TLS_CERT_FILE": certFile, "NATS_TLS_KEY_FILE": keyFile,
		"JETSTREAM_CREATE": "true", "JETSTREAM_SHARDS": "1", "JETSTREAM_DURABILITY": "leader", "DATA_DIR": t.TempDir(),
	}, string(secret)
}

// TestSecureJetStream stores with all that the server wants, and says what is missing without showing what is secret.
func TestSecureJetStream(t *testing.T) {
	t.Parallel()
	settings, seed := secureNATS(t, newCertificateAuthority(t))
	s := startServer(t, settings)
	f := startFleet(t, s.devices, 2, nil)
	f.awaitProgress(t, 20)
	f.end(t)
	for _, c := range []struct {
		without string
		code    int
		says    string
	}{
		{"", 0, "NATS JetStream"},
		{"NATS_CREDS", 1, "Authorization Violation"},
		{"NATS_TLS_CA_FILE", 1, "certificate"},
		{"NATS_TLS_KEY_FILE", 78, "a certificate needs its key"},
		{"NATS_URL", 78, "not set, but ENGINE is jetstream"},
	} {
		less := maps.Clone(settings)
		delete(less, c.without)
		code, out, errOut := execute(t, less, "", "check")
		if code != c.code || !strings.Contains(out+errOut, c.says) {
			t.Errorf("without %s: exit code %d, want %d and %q:\n%s%s", c.without, code, c.code, c.says, out, errOut)
		}
		if strings.Contains(out+errOut, seed) {
			t.Errorf("without %s the seed is shown", c.without)
		}
	}
	settings["NATS_CREDS"] = filepath.Join(t.TempDir(), "none")
	if code, _, errOut := execute(t, settings, "", "check"); code != 78 || !strings.Contains(errOut, "none") {
		t.Errorf("credentials that are not there: exit code %d: %s", code, errOut)
	}
	if strings.Contains(s.tail(10000), seed) {
		t.Error("the seed is in the log")
	}
}
