package kafka

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const password = "hunter2-but-longer"

// guarded is a broker whose second listener speaks TLS, asks for a client's certificate, and lets in by SASL only.
func guarded(t *testing.T, c testkit.Certificates) *testkit.Kafka {
	t.Helper()
	module := "org.apache.kafka.common.security."
	k, err := testkit.StartKafka(1,
		"listener.security.protocol.map=DIRECT:PLAINTEXT,RELAY:SASL_SSL,CONTROLLER:PLAINTEXT",
		"ssl.keystore.type=PEM", "ssl.keystore.location="+c.Server,
		"ssl.truststore.type=PEM", "ssl.truststore.location="+c.CA,
		"ssl.client.auth=required",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:ANONYMOUS;User:svc",
		"listener.name.relay.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		"listener.name.relay.plain.sasl.jaas.config="+module+`plain.PlainLoginModule required user_svc="`+password+
			`" user_limited="`+password+`";`,
		"listener.name.relay.scram-sha-256.sasl.jaas.config="+module+"scram.ScramLoginModule required;",
		"listener.name.relay.scram-sha-512.sasl.jaas.config="+module+"scram.ScramLoginModule required;",
		"listener.name.relay.oauthbearer.sasl.jaas.config="+module+
			`oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		_, err := k.Admin.AlterUserSCRAMs(t.Context(), nil,
			[]kadm.UpsertSCRAM{{User: "svc", Mechanism: m, Iterations: 4096, Password: password}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// token is one that is signed by nobody, which a broker takes that is set up for tests.
func token(subject string) string {
	part := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf("%s.%s.", part([]byte(`{"alg":"none"}`)), part(fmt.Appendf(nil, `{"sub":"%s","iat":%d,"exp":%d}`,
		subject, time.Now().Unix()-10, time.Now().Unix()+600)))
}

// TestTLSAndSASL lets the engine in by every mechanism, and says why it is not let in without showing the password.
func TestTLSAndSASL(t *testing.T) {
	c := testkit.NewCertificates(t)
	k := guarded(t, c)
	topic := newTopics(t, k, 2, 1)
	encrypted := TLS{On: true, CAFile: c.CA, CertFile: c.Cert, KeyFile: c.Key}
	tokenFile := c.Write("token", []byte(token("svc")+"\n"))
	for name, s := range map[string]SASL{
		"PLAIN":         {Mechanism: "PLAIN", User: "svc", Password: password},
		"SCRAM-SHA-256": {Mechanism: "SCRAM-SHA-256", User: "svc", Password: password},
		"SCRAM-SHA-512": {Mechanism: "SCRAM-SHA-512", User: "svc", Password: password},
		"OAUTHBEARER":   {Mechanism: "OAUTHBEARER", TokenFile: tokenFile},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, k.RelayAddrs(), topic, func(o *Options) { o.TLS, o.SASL = encrypted, s })
			defer e.Close()
			testkit.Succeeds(t, "to be let in", testkit.Timeout, func() error { _, err := e.Probe(t.Context()); return err })
			if err := e.Store(t.Context(), e.Lane(device), enginetest.NewBatch(device, 0, 3)); err != nil {
				t.Error(err)
			}
		})
	}
	for name, wrong := range map[string]func(*Options){
		"wrong password": func(o *Options) {
			o.TLS, o.SASL = encrypted, SASL{Mechanism: "SCRAM-SHA-512", User: "svc", Password: password + "3"}
		},
		"no certificate of ours":       func(o *Options) { o.TLS, o.SASL = TLS{On: true, CAFile: c.CA}, SASL{} },
		"certificate of somebody else": func(o *Options) { o.TLS = TLS{On: true} },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			e := open(t, k.RelayAddrs(), topic, wrong, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			defer e.Close()
			_, err := e.Probe(t.Context())
			stored := e.Store(t.Context(), e.Lane(device), enginetest.NewBatch(device, 0, 3))
			if err == nil || stored == nil {
				t.Fatalf("let in: %v, %v", err, stored)
			}
			t.Log(err)
			if text := err.Error() + stored.Error() + log.String(); strings.Contains(text, password) {
				t.Errorf("the password is shown: %s", text)
			}
		})
	}
	if n := len(k.Contents(t, topic)); n != 12 {
		t.Errorf("%d records, want 12", n)
	}
	t.Run("permissions", func(t *testing.T) { missPermissions(t, k, encrypted) })
}

// missPermissions gives a user what it needs bit by bit. It is told what is missing, and goes on without a restart.
func missPermissions(t *testing.T, k *testkit.Kafka, encrypted TLS) {
	topic := newTopics(t, k, 2, 1)
	allow := func(operations ...kadm.ACLOperation) {
		t.Helper()
		r, err := k.Admin.CreateACLs(t.Context(), kadm.NewACLs().Topics(topic, topic+".dead", topic+".messages").
			ResourcePatternType(kadm.ACLPatternLiteral).Operations(operations...).Allow("User:limited").AllowHosts("*"))
		if err != nil || r[0].Err != nil {
			t.Fatal(err, r)
		}
	}
	allow(kadm.OpDescribe, kadm.OpDescribeConfigs)
	e := open(t, k.RelayAddrs(), topic, func(o *Options) {
		o.TLS, o.SASL = encrypted, SASL{Mechanism: "PLAIN", User: "limited", Password: password}
	})
	defer e.Close()
	for _, missing := range []struct {
		name      string
		operation kadm.ACLOperation
	}{{"Write", kadm.OpWrite}, {"Read", kadm.OpRead}} {
		remedy := "--add --allow-principal User:limited --operation " + missing.name + " --topic " + topic
		testkit.Eventually(t, missing.name+" to be missed", func() bool {
			_, err := e.Probe(t.Context())
			return err != nil && strings.Contains(err.Error(), remedy)
		})
		wantRefused(t, e, remedy)
		allow(missing.operation)
	}
	testkit.Succeeds(t, "a probe", testkit.Timeout, func() error { _, err := e.Probe(t.Context()); return err })
	b := enginetest.NewBatch(device, 0, 3)
	if err := e.Store(t.Context(), e.Lane(device), b); err != nil || b.Results[0].Err != nil {
		t.Error(err, b.Results)
	}
}

// TestFilesOfTLS: what is wrong with one of them is said at the start.
func TestFilesOfTLS(t *testing.T) {
	c := testkit.NewCertificates(t)
	for name, wrong := range map[string]TLS{
		"no such CA": {On: true, CAFile: "/nowhere"}, "no CA": {On: true, CAFile: c.Key},
		"no such key": {On: true, CertFile: c.Cert, KeyFile: "/nowhere"},
		"another key": {On: true, CertFile: c.CA, KeyFile: c.Key},
	} {
		if err := wrong.Check(); err == nil {
			t.Errorf("%s: nothing is wrong", name)
		}
		if _, err := New(Options{Brokers: []string{"a:1"}, Topic: "t", Durability: Leader, TLS: wrong}); err == nil {
			t.Errorf("%s: an engine is made", name)
		}
	}
	if err := (TLS{On: true, CAFile: c.CA, CertFile: c.Cert, KeyFile: c.Key}).Check(); err != nil {
		t.Error(err)
	}
}
