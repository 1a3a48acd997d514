package chart

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ops"
)

// secrets are what the Secrets hold in these tests.
var secrets = map[string]string{
	"REDIS_URL": "redis://user:password@redis:6379/0", "CONTROL_REDIS_URL": "redis://user:password@redis:6379/0",
	"NATS_URL": "nats://user:password@nats:4222", "POSTGRES_URL": "postgres://user:password@postgres:5432/telemetry",
	"KAFKA_SASL_PASSWORD": "password", "ADMIN_TOKEN": "0123456789abcdef",
}

// environment is what the container's process would find. Each name is there once.
func environment(t *testing.T, c container) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, v := range c.Env {
		if _, twice := all[v.Name]; twice {
			t.Errorf("%s is there twice", v.Name)
		}
		secret, inFile := strings.CutSuffix(v.Name, "_FILE")
		switch from := v.ValueFrom; {
		case inFile && secrets[secret] != "": // which the program reads at once
			all[v.Name] = filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(all[v.Name], []byte(secrets[secret]), 0o600); err != nil {
				t.Fatal(err)
			}
		case from == nil:
			all[v.Name] = v.Value
		case from.FieldRef != nil:
			all[v.Name] = "fleet-tcp-ingestion-7d4b9c6f5d-x2x8k" // as a pod of a Deployment is called
		case from.SecretKeyRef.Name == "" || from.SecretKeyRef.Key == "" || secrets[v.Name] == "":
			t.Errorf("%s: %+v", v.Name, from.SecretKeyRef)
		default:
			all[v.Name] = secrets[v.Name]
		}
	}
	return all
}

// settings are what the program makes of it.
func settings(t *testing.T, r *rendering) *config.Config {
	t.Helper()
	environment := environment(t, r.container(t))
	c, err := config.Load(func(name string) string { return environment[name] })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSettings: the program takes the pod's environment, knows every name in it, and has no secret in plain.
func TestSettings(t *testing.T) {
	known := map[string]config.Setting{}
	for _, s := range config.Settings {
		known[s.Name] = s
	}
	eachCase(t, func(t *testing.T, r *rendering) {
		settings(t, r)
		for _, v := range r.container(t).Env {
			s, ok := known[v.Name]
			if !ok && !slices.Contains([]string{"GOGC", "NODE"}, v.Name) { // extraEnv of everything.yaml
				t.Errorf("%s is no setting", v.Name)
			}
			if s.Secret && (v.ValueFrom == nil || v.ValueFrom.SecretKeyRef == nil) {
				t.Errorf("%s is in plain", v.Name)
			}
		}
	})
}

// TestSettingsOfValues: values arrive as they are written, large numbers and what follows from an engine too.
func TestSettingsOfValues(t *testing.T) {
	c := settings(t, template(t, chartPath, "--values", "testdata/values/redis.yaml"))
	if c.RedisMaxLen != 20_000_000 || c.Engine != config.EngineRedis || c.RedisDurability != "replicas=1" {
		t.Errorf("%+v", c)
	}
	c = settings(t, template(t, chartPath, "--values", "testdata/values/everything.yaml", "--set",
		"settings.REDIS_STREAM_MAXLEN=30000000"))
	if c.RedisMaxLen != 30_000_000 || c.MessageMaxBytes != 4294967296 || !c.TLSDetect || !c.StrictDeviceAuth ||
		c.DeviceAuthorityMode != config.AuthorityFileList || c.InstanceID != "fleet-tcp-ingestion-7d4b9c6f5d-x2x8k" {
		t.Errorf("%+v", c)
	}
}

// TestGracePeriod: Kubernetes waits for longer than a stop takes, whatever its phases, and lets devices in while the
// pod still listens.
func TestGracePeriod(t *testing.T) {
	for _, set := range []string{
		"replicas=1", "replicas=2", "autoscaling.enabled=true", "stop.delaySeconds=0", "stop.spreadSeconds=0",
		"stop.delaySeconds=3600", "stop.spreadSeconds=3600", "stop.shutdownTimeoutSeconds=3600",
		"stop.drainTimeoutSeconds=30", "stop.delaySeconds=1,stop.spreadSeconds=1,stop.drainTimeoutSeconds=1",
		"stop.delaySeconds=7,stop.spreadSeconds=11,stop.drainTimeoutSeconds=13,stop.shutdownTimeoutSeconds=17",
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			r := template(t, chartPath, "--values", "testdata/values/redis.yaml", "--set", set)
			c := settings(t, r)
			work, _ := r.workload(t)
			grace := time.Duration(work.Template.Spec.TerminationGracePeriodSeconds) * time.Second
			if grace < c.StopTime()+5*time.Second {
				t.Errorf("%v of grace, a stop takes %v", grace, c.StopTime())
			}
			ready := r.container(t).ReadinessProbe
			fails := time.Duration(ready.PeriodSeconds*ready.FailureThreshold) * time.Second
			if fails <= min(c.DrainDelay, time.Minute) || fails > time.Minute+10*time.Second {
				t.Errorf("readiness fails after %v, of a delay of %v", fails, c.DrainDelay)
			}
		})
	}
}

// TestPorts: the container's ports are those that the program listens on, and whoever names a port names one of them.
func TestPorts(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rendering) {
		c := settings(t, r)
		want := map[string]string{"metrics": fmt.Sprint("TCP ", c.MetricsPort)}
		for name, listens := range map[string]struct {
			network string
			port    int
		}{"devices": {"TCP", c.TeltonikaPort}, "devices-tls": {"TCP", c.TLSPort}, "devices-udp": {"UDP", c.UDPPort}} {
			if listens.port >= 0 {
				want[name] = fmt.Sprint(listens.network, " ", listens.port)
			}
		}
		if c.AdminAddress == ":9091" {
			want["admin"] = "TCP 9091"
		}
		got := map[string]string{}
		for _, p := range r.container(t).Ports {
			if len(p.Name) > 15 { // as a port's name may be
				t.Errorf("a port is called %s", p.Name)
			}
			got[p.Name] = fmt.Sprintf("%s %d", orTCP(p.Protocol), p.ContainerPort)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("ports %v, the program listens on %v", got, want)
		}
		for _, s := range r.of("Service") {
			for _, p := range spec[struct {
				Ports []struct{ TargetPort, Protocol string }
			}](t, s).Ports {
				wantPort(t, s, got, p.TargetPort, p.Protocol)
			}
		}
		for _, p := range r.of("PodMonitor") {
			for _, e := range spec[struct{ PodMetricsEndpoints []struct{ Port string } }](t, p).PodMetricsEndpoints {
				wantPort(t, p, got, e.Port, "TCP")
			}
		}
		for _, p := range r.of("NetworkPolicy") {
			for _, in := range spec[struct {
				Ingress []struct {
					Ports []struct{ Port, Protocol string }
				}
			}](t, p).Ingress {
				for _, from := range in.Ports {
					wantPort(t, p, got, from.Port, from.Protocol)
				}
			}
		}
	})
}

func orTCP(protocol string) string {
	if protocol == "" {
		return "TCP"
	}
	return protocol
}

func wantPort(t *testing.T, o *object, ports map[string]string, name, protocol string) {
	t.Helper()
	if !strings.HasPrefix(ports[name], orTCP(protocol)+" ") {
		t.Errorf("%s %s: the pod has no port %s %s", o.Kind, o.Metadata.Name, name, protocol)
	}
}

// TestProbes: the probes' paths are the program's: it is alive while it is not ready.
func TestProbes(t *testing.T) {
	server := ops.NewServer(ops.Options{
		Gatherer: prometheus.NewRegistry(), NotReady: func() []string { return []string{"stopping"} },
		Warnings: func() []string { return nil }, MaxConnections: 4,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(context.Background()) })
	go server.Serve(l)
	c := template(t, chartPath).container(t)
	for _, p := range []struct {
		name string
		probe
		want int
	}{
		{"startup", c.StartupProbe, http.StatusOK}, {"liveness", c.LivenessProbe, http.StatusOK},
		{"readiness", c.ReadinessProbe, http.StatusServiceUnavailable},
	} {
		answer, err := http.Get("http://" + l.Addr().String() + p.HTTPGet.Path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != p.want || p.HTTPGet.Port != "metrics" {
			t.Errorf("%s: %s at port %s answers %d", p.name, p.HTTPGet.Path, p.HTTPGet.Port, answer.StatusCode)
		}
	}
}

// TestFiles: what settings name is mounted read-only, as a folder, so that the program sees it change.
func TestFiles(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rendering) {
		w, _ := r.workload(t)
		volumes := map[string]volume{"data": {}} // of the StatefulSet
		for _, v := range w.Template.Spec.Volumes {
			volumes[v.Name] = v
		}
		keys := map[string]bool{"/etc/tcp-ingestion/tls/tls.crt": true, "/etc/tcp-ingestion/tls/tls.key": true}
		for _, m := range r.container(t).VolumeMounts {
			v, there := volumes[m.Name]
			if !there || m.SubPath != "" || m.ReadOnly != strings.HasPrefix(m.MountPath, "/etc/") {
				t.Errorf("%+v of %+v", m, v)
			}
			for _, from := range []*struct {
				SecretName, Name string
				DefaultMode      int
				Items            []struct{ Key, Path string }
			}{v.Secret, v.ConfigMap} {
				if from == nil {
					continue
				}
				if from.DefaultMode != 0o440 || from.SecretName+from.Name == "" {
					t.Errorf("%s: %+v", v.Name, from)
				}
				for _, i := range from.Items {
					keys[path.Join(m.MountPath, i.Path)] = i.Key == i.Path
				}
			}
		}
		for _, v := range r.container(t).Env {
			if strings.HasPrefix(v.Value, "/etc/") && !keys[v.Value] {
				t.Errorf("%s: nothing is mounted at %s", v.Name, v.Value)
			}
		}
	})
}
