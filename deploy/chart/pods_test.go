package chart

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// TestWorkload: pods that keep something are a StatefulSet with a volume each, all others a Deployment.
func TestWorkload(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rendering) {
		w, kind := r.workload(t)
		c := settings(t, r)
		keeps := len(w.VolumeClaimTemplates) == 1 && w.VolumeClaimTemplates[0].Metadata.Name == "data"
		if (kind == "StatefulSet") != keeps || c.Engine == config.EngineEmbedded && !keeps {
			t.Errorf("a %s with %d volumes on the engine %s", kind, len(w.VolumeClaimTemplates), c.Engine)
		}
		if kind == "StatefulSet" && !named(r.of("Service"), w.ServiceName) {
			t.Errorf("there is no Service %s", w.ServiceName)
		}
		scaled := len(r.of("HorizontalPodAutoscaler"))+len(r.of("ScaledObject")) == 1
		if scaled == (w.Replicas != nil) {
			t.Errorf("scaled is %v, replicas are %v", scaled, w.Replicas)
		}
		if c.Engine == config.EngineEmbedded && (scaled || *w.Replicas != 1) {
			t.Error("more than one pod on the embedded engine")
		}
		account := w.Template.Spec.ServiceAccountName
		if account != "default" && !named(r.of("ServiceAccount"), account) {
			t.Errorf("there is no ServiceAccount %s", account)
		}
	})
}

func named(objects []*object, name string) bool {
	for _, o := range objects {
		if o.Metadata.Name == name {
			return true
		}
	}
	return false
}

// dns are names that Services may have, and that are short enough for a StatefulSet: its pods have a label with its
// name and 11 more characters.
var dns = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$`)

// TestSelectors: whoever looks for the pods finds them, and names fit into what Kubernetes makes of them.
func TestSelectors(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rendering) {
		w, kind := r.workload(t)
		pods := w.Template.Metadata.Labels
		if !w.Selector.selects(pods) {
			t.Errorf("%v does not select %v", w.Selector, pods)
		}
		for _, o := range r.objects {
			if !dns.MatchString(o.Metadata.Name) {
				t.Errorf("%s is called %s", o.Kind, o.Metadata.Name)
			}
			s := spec[struct {
				Selector       json.RawMessage
				PodSelector    selector
				ScaleTargetRef struct{ Kind, Name string }
			}](t, orEmpty(o))
			found := selector{}
			switch o.Kind {
			case "Service":
				json.Unmarshal(s.Selector, &found.MatchLabels)
			case "PodDisruptionBudget", "PodMonitor":
				json.Unmarshal(s.Selector, &found)
			case "NetworkPolicy":
				found = s.PodSelector
			case "HorizontalPodAutoscaler", "ScaledObject":
				if target := s.ScaleTargetRef; target.Kind != kind || !named(r.of(kind), target.Name) {
					t.Errorf("%s scales %v", o.Kind, target)
				}
				continue
			default:
				continue
			}
			if !found.selects(pods) || !reflect.DeepEqual(found, w.Selector) {
				t.Errorf("%s %s selects %v", o.Kind, o.Metadata.Name, found)
			}
		}
	})
}

// orEmpty is an object that has a spec.
func orEmpty(o *object) *object {
	if o.Spec == nil {
		return &object{Spec: []byte("{}")}
	}
	return o
}

// TestLongNames: a long name is cut, has no dots, and still is a name.
func TestLongNames(t *testing.T) {
	const long = "a-very-long-name.of-a-release-that-nobody-likes-to-do" // 53 characters, Helm's limit
	out, err := helm(t, "template", long, chartPath, "--values", "testdata/values/everything.yaml",
		"--set", "fullnameOverride=,nameOverride="+strings.ReplaceAll(long, ".", "-"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range parse(t, out).objects {
		if !dns.MatchString(o.Metadata.Name) {
			t.Errorf("%s is called %s", o.Kind, o.Metadata.Name)
		}
	}
}

// TestHardened: the restricted level of Kubernetes' pod security standards, a root file system that is read-only, and
// no token.
func TestHardened(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rendering) {
		w, _ := r.workload(t)
		p, c := w.Template.Spec, r.container(t)
		s := p.SecurityContext
		if !s.RunAsNonRoot || s.RunAsUser != 65532 || s.FSGroup != 65532 || s.SeccompProfile.Type != "RuntimeDefault" {
			t.Errorf("%+v", s)
		}
		if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
			t.Error("the pod has a token")
		}
		if p.EnableServiceLinks == nil || *p.EnableServiceLinks {
			t.Error("other Services set the pod's environment")
		}
		is := c.SecurityContext
		if !is.ReadOnlyRootFilesystem || is.AllowPrivilegeEscalation == nil || *is.AllowPrivilegeEscalation ||
			is.Privileged != nil || !reflect.DeepEqual(is.Capabilities.Drop, []string{"ALL"}) || is.Capabilities.Add != nil {
			t.Errorf("%+v", is)
		}
	})
}

// TestNetworkPolicy: nobody gets to the API unless named, and what has no peers is not open to everybody.
func TestNetworkPolicy(t *testing.T) {
	type rule struct {
		Ports []struct{ Port any }
		From  []any
		To    []any
	}
	type policy struct {
		PolicyTypes     []string
		Ingress, Egress []rule
	}
	render := func(values, set string) policy {
		r := template(t, chartPath, "--values", "testdata/values/"+values, "--set", set)
		return spec[policy](t, r.one(t, "NetworkPolicy"))
	}
	p := render("everything.yaml", "networkPolicy.adminFrom=null,networkPolicy.metricsFrom=null")
	both := []string{"Ingress", "Egress"}
	if len(p.Ingress) != 1 || len(p.Ingress[0].From) != 1 || !reflect.DeepEqual(p.PolicyTypes, both) {
		t.Errorf("devices only: %+v", p)
	}
	p = render("everything.yaml", "networkPolicy.enabled=true")
	if len(p.Ingress) != 3 || len(p.Ingress[1].From) != 1 || len(p.Ingress[2].From) != 1 || len(p.Egress) != 3 {
		t.Errorf("all: %+v", p)
	}
	// The embedded engine is not in the network.
	p = render("udp-only.yaml", "networkPolicy.enabled=true")
	if len(p.Ingress) != 1 || len(p.Egress) != 1 || p.Egress[0].Ports[0].Port != 53.0 {
		t.Errorf("embedded: %+v", p)
	}
	if p = render("kafka.yaml", "networkPolicy.enabled=true"); p.Egress[1].Ports[0].Port != 9093.0 {
		t.Errorf("kafka: %+v", p)
	}
	if p = render("jetstream.yaml", "networkPolicy.enabled=true"); len(p.Egress[1].Ports) != 3 { // and the control Redis'
		t.Errorf("jetstream: %+v", p)
	}
}
