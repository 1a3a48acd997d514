package chart

import (
	"encoding/json"
	"testing"
)

// object is one of the chart's, with what all of them have.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name   string
		Labels map[string]string
	}
	Spec json.RawMessage

	json []byte // all of it
}

// of are the objects of a kind.
func (r *rendering) of(kind string) (all []*object) {
	for _, o := range r.objects {
		if o.Kind == kind {
			all = append(all, o)
		}
	}
	return all
}

func (r *rendering) one(t *testing.T, kind string) *object {
	t.Helper()
	all := r.of(kind)
	if len(all) != 1 {
		t.Fatalf("%d objects of kind %s, want one", len(all), kind)
	}
	return all[0]
}

// spec decodes an object's.
func spec[T any](t *testing.T, o *object) (s T) {
	t.Helper()
	if err := json.Unmarshal(o.Spec, &s); err != nil {
		t.Fatalf("%s %s: %v", o.Kind, o.Metadata.Name, err)
	}
	return s
}

// workload is the spec of a StatefulSet or a Deployment.
type workload struct {
	Replicas    *int
	ServiceName string
	Selector    selector
	Template    struct {
		Metadata struct{ Labels map[string]string }
		Spec     pod
	}
	VolumeClaimTemplates []struct{ Metadata struct{ Name string } }
}

type selector struct{ MatchLabels map[string]string }

// selects reports whether all of its labels, one at least, are among a pod's.
func (s selector) selects(labels map[string]string) bool {
	for name, value := range s.MatchLabels {
		if labels[name] != value {
			return false
		}
	}
	return len(s.MatchLabels) > 0
}

type pod struct {
	AutomountServiceAccountToken  *bool
	EnableServiceLinks            *bool
	ServiceAccountName            string
	TerminationGracePeriodSeconds int
	SecurityContext               struct {
		RunAsNonRoot       bool
		RunAsUser, FSGroup int
		SeccompProfile     struct{ Type string }
	}
	Containers     []container
	InitContainers []container
	Volumes        []volume
}

type container struct {
	Image           string
	SecurityContext struct {
		AllowPrivilegeEscalation, Privileged *bool
		ReadOnlyRootFilesystem               bool
		Capabilities                         struct{ Drop, Add []string }
	}
	Env                                         []variable
	Ports                                       []port
	StartupProbe, LivenessProbe, ReadinessProbe probe
	VolumeMounts                                []mount
}

type variable struct {
	Name, Value string
	ValueFrom   *struct {
		SecretKeyRef *struct{ Name, Key string }
		FieldRef     *struct{ FieldPath string }
	}
}

type port struct {
	Name          string
	ContainerPort int
	Protocol      string
}

type probe struct {
	HTTPGet                         struct{ Path, Port string }
	PeriodSeconds, FailureThreshold int
}

type mount struct {
	Name, MountPath, SubPath string
	ReadOnly                 bool
}

type volume struct {
	Name              string
	Secret, ConfigMap *struct {
		SecretName, Name string
		DefaultMode      int
		Items            []struct{ Key, Path string }
	}
	EmptyDir *struct{}
}

// workload is the one StatefulSet or Deployment, and its kind.
func (r *rendering) workload(t *testing.T) (workload, string) {
	t.Helper()
	all := append(r.of("StatefulSet"), r.of("Deployment")...)
	if len(all) != 1 {
		t.Fatalf("%d workloads", len(all))
	}
	return spec[workload](t, all[0]), all[0].Kind
}

func (r *rendering) container(t *testing.T) container {
	t.Helper()
	w, _ := r.workload(t)
	if n := len(w.Template.Spec.Containers); n != 1 || len(w.Template.Spec.InitContainers) != 0 {
		t.Fatalf("%d containers", n)
	}
	return w.Template.Spec.Containers[0]
}
