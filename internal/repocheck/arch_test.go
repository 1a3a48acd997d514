package repocheck

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "git.dev.trmtracking.org/trm/tcp-ingestion/"

// allowed are the arrows between the packages: what each may import of ours. What is not here is a wall; see
// ARCHITECTURE.md.
var allowed = map[string][]string{
	"teltonika":                   {},
	"meaning":                     {},
	"format":                      {"meaning"},
	"api":                         {},
	"internal/record":             {"internal/engine", "meaning", "teltonika"},
	"internal/engine":             {},
	"internal/engine/redisstream": {"internal/deadline", "internal/engine", "internal/health", "internal/redisdial"},
	"internal/engine/jetstream":   {"internal/backoff", "internal/engine", "internal/health"},
	"internal/engine/kafka":       {"internal/backoff", "internal/engine", "internal/tlsclient"},
	"internal/engine/postgres":    {"internal/backoff", "internal/engine", "internal/health", "internal/retention"},
	"internal/engine/sqlite": {"internal/atomicfile", "internal/backoff", "internal/engine", "internal/retention",
		"internal/sqlitefile"},
	"internal/publish":    {"internal/engine", "internal/health", "internal/logging", "internal/metric"},
	"internal/metric":     {},
	"internal/limit":      {},
	"internal/health":     {},
	"internal/deadline":   {},
	"internal/backoff":    {},
	"internal/tlsclient":  {},
	"internal/httpserver": {"internal/limit"},
	"internal/ingest": {"internal/backoff", "internal/deadline", "internal/limit", "internal/logging",
		"internal/metric"},
	"internal/redisdial":  {},
	"internal/source":     {"internal/backoff", "internal/redisdial"},
	"internal/identifier": {},
	"internal/authority": {"internal/backoff", "internal/identifier", "internal/metric", "internal/source",
		"teltonika"},
	"internal/command": {"internal/backoff", "internal/command/condition", "internal/limit", "internal/logging",
		"internal/metric", "internal/terminal", "teltonika"},
	"internal/command/condition": {},
	"internal/command/named":     {"internal/command", "internal/regularfile", "meaning"},
	"internal/command/redisstore": {"internal/backoff", "internal/command", "internal/command/condition",
		"internal/health", "internal/logging", "internal/metric", "internal/redisdial", "teltonika"},
	"internal/command/sqlitestore": {"internal/command", "internal/command/condition", "internal/health",
		"internal/retention", "internal/sqlitefile", "teltonika"},
	"internal/redecode":   {"internal/stored", "meaning", "teltonika"},
	"internal/stored":     {"meaning", "teltonika"},
	"internal/sqlitefile": {"internal/filelock"},
	"internal/retention":  {},
	"internal/admin": {"api", "internal/admin/page", "internal/backoff", "internal/command",
		"internal/command/condition", "internal/command/named", "internal/deadletter", "internal/device",
		"internal/device/stranger",
		"internal/device/verdict", "internal/dictionary",
		"internal/engine", "internal/explain", "internal/httpserver", "internal/limit", "internal/overview",
		"internal/publish", "internal/shed", "internal/stored", "internal/tap", "meaning", "teltonika"},
	"internal/admin/page": {},
	"internal/overview":   {},
	"internal/transport": {"internal/deadline", "internal/device/stranger", "internal/ingest",
		"internal/transport/proxyheader", "internal/transport/tlsserver"},
	"internal/transport/listen":      {},
	"internal/transport/proxyheader": {},
	"internal/transport/tlsserver": {"internal/deadline", "internal/device/stranger", "internal/metric",
		"internal/regularfile"},
	"internal/pipeline": {"internal/engine", "internal/publish", "internal/record", "teltonika"},
	"internal/teltonikasession": {"internal/command", "internal/command/condition", "internal/deadline", "internal/device",
		"internal/device/stranger", "internal/engine", "internal/ingest", "internal/limit", "internal/metric",
		"internal/mirror", "internal/pipeline", "internal/publish", "internal/record", "internal/tap", "meaning",
		"teltonika"},
	"internal/tap": {"internal/device/stranger", "internal/limit", "internal/metric"},
	"internal/deadletter": {"internal/engine", "internal/pipeline", "internal/publish", "internal/record",
		"meaning", "teltonika"},
	"internal/ops":      {"internal/backoff", "internal/engine", "internal/health", "internal/httpserver"},
	"internal/config":   {"internal/regularfile", "internal/secret", "internal/spelling"},
	"internal/spelling": {},
	"internal/shed":     {"internal/backoff", "internal/command", "internal/logging", "internal/metric"},
	"internal/mirror": {"internal/backoff", "internal/deadline", "internal/health", "internal/logging",
		"internal/metric", "teltonika"},
	"internal/logging":     {"internal/limit", "internal/terminal"},
	"internal/systemd":     {},
	"internal/signals":     {},
	"internal/terminal":    {},
	"internal/simulate":    {"internal/deadline", "internal/descriptors", "teltonika"},
	"internal/paste":       {"internal/explain", "teltonika"},
	"internal/explain":     {"internal/terminal", "meaning", "teltonika"},
	"internal/atomicfile":  {},
	"internal/descriptors": {},
	"internal/filelock":    {},
	"internal/forward": {"format", "internal/atomicfile", "internal/backoff", "internal/engine", "internal/filelock",
		"internal/health", "internal/logging", "internal/metric"},
	"internal/forward/httpsink": {"internal/forward", "internal/secret", "internal/terminal", "internal/tlsclient"},
	"internal/forward/mqttsink": {"internal/forward", "internal/secret", "internal/terminal", "internal/tlsclient"},
	"internal/secret":           {"internal/regularfile"},
	"internal/regularfile":      {},
	"internal/dictionary":       {"internal/explain", "internal/stored", "meaning", "teltonika"},

	// What newcomers copy.
	"examples":            {},
	"examples/kafka-go":   {},
	"examples/redis-go":   {},
	"examples/tcp-server": {"teltonika"},

	// What a release is made of; publish is run by CI.
	"deploy/packages":         {},
	"deploy/packages/publish": {},

	// For tests only.
	"api/apitest":                {"api"},
	"deploy/chart":               {},
	"internal/ingest/ingesttest": {},
	"internal/testkit":           {"internal/engine", "teltonika"},
	"internal/device": {"internal/backoff", "internal/health", "internal/identifier", "internal/logging",
		"internal/source", "meaning", "teltonika"},
	"internal/device/verdict":    {"internal/device", "internal/device/stranger", "internal/limit"},
	"internal/device/stranger":   {"internal/backoff", "internal/health", "internal/limit"},
	"internal/device/redisstore": {"internal/device", "internal/device/stranger", "internal/source"},
	"internal/device/sqlitestore": {"internal/device", "internal/device/stranger", "internal/retention",
		"internal/sqlitefile"},
	"internal/device/devicetest":   {"internal/device", "internal/device/stranger"},
	"internal/repocheck":           {},
	"internal/engine/enginetest":   {"internal/engine", "internal/testkit"},
	"internal/command/commandtest": {"internal/command", "internal/command/condition", "internal/testkit", "teltonika"},
}

// mayImportAll is the only package that binds the others together.
const mayImportAll = "cmd/tcp-ingestion"

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestArrowsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours || name == mayImportAll {
			continue
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("%s has no place in the architecture: add it here and to ARCHITECTURE.md", name)
		}
		for _, i := range p.Imports {
			if target, ours := strings.CutPrefix(i, module); ours && !slices.Contains(may, target) {
				t.Errorf("%s imports %s", name, target)
			}
		}
	}
}

func TestPublicLibrariesArePure(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains([]string{"teltonika", "meaning", "format"}, strings.TrimPrefix(p.ImportPath, module)) {
			continue
		}
		for _, i := range p.Imports {
			other := strings.Contains(i, ".") && !strings.HasPrefix(i, module) // ours have their arrows
			if other || slices.Contains([]string{"net", "os", "log", "log/slog", "net/http"}, i) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}
