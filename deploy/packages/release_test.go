//go:build linux

package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// repository is where the sources are.
const repository = "../.."

// TestRelease makes a release twice, in two places, which must be the same, and one more to upgrade to. It does what
// docs/packages.md says to check them, and installs, upgrades and removes the packages. RELEASE_CHECK is for all
// platforms and the list of modules too.
func TestRelease(t *testing.T) {
	here, elsewhere := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "elsewhere", "and-deeper")
	key := newKey(t)
	first := release(t, sources(t, here), "v1.0.0", key)
	again := release(t, sources(t, elsewhere), "v1.0.0", key)
	wantSame(t, first, again)
	if notes, want := read(t, filepath.Join(first, "RELEASE_NOTES.md")), "\n* The first one.\n\n"; notes != want {
		t.Errorf("release notes %q, want %q", notes, want)
	}

	settings := filepath.Join(elsewhere, "deploy/systemd/tcp-ingestion.env.example")
	write(t, settings, read(t, settings)+"\n# New in this version.\n")
	second := release(t, elsewhere, "v1.1.0", "")
	if _, err := os.Stat(filepath.Join(second, "SHA256SUMS.sig")); err == nil {
		t.Error("signed without a key")
	}

	commands := pageCommands(t)
	t.Run("verify", func(t *testing.T) { verify(t, first, key, commands[0]) })
	t.Run("rpm", func(t *testing.T) {
		lookIntoRPM(t, first)
		tryRPM(t, rpm(t, first), rpm(t, second))
	})
	t.Run("deb", func(t *testing.T) { tryDeb(t, first, second, commands[1:]) })
}

// TestVersionIsATag: what is no version, or not in the changelog, is not released.
func TestVersionIsATag(t *testing.T) {
	tree := sources(t, filepath.Join(t.TempDir(), "tree"))
	for version, want := range map[string]string{
		"":                "must be a tag's name",
		"1.0.0":           "must be a tag's name",
		"v1.0.0-5-gabcde": "must be a tag's name",
		"v1.0.0-dirty":    "must be a tag's name",
		"v1.2.0":          "CHANGELOG.md has no section '## 1.2.0'",
	} {
		out, err := releaseCommand(tree, version, "").CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("VERSION=%s: %v, %s; want %q", version, err, out, want)
		}
	}
}

// sources copies what git knows of, with a changelog of two versions.
func sources(t *testing.T, to string) string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = repository
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		info, err := os.Stat(filepath.Join(repository, name))
		if err != nil || strings.Contains(name, "testdata/") {
			continue // deleted, or for tests only
		}
		write(t, filepath.Join(to, name), read(t, filepath.Join(repository, name)))
		if err := os.Chmod(filepath.Join(to, name), info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(to, "CHANGELOG.md"), "# Changelog\n\n## Unreleased\n\n## 1.1.0\n\n* The second one.\n\n"+
		"## 1.0.0\n\n* The first one.\n\n## 0.9.0\n\n* One before.\n")
	return to
}

// release runs `make release` in a copy of the sources and returns where the files are.
func release(t *testing.T, tree, version, key string) (dist string) {
	t.Helper()
	if out, err := releaseCommand(tree, version, key).CombinedOutput(); err != nil {
		t.Fatalf("make release: %v\n%s", err, out)
	}
	return filepath.Join(tree, "dist")
}

func releaseCommand(tree, version, key string) *exec.Cmd {
	cmd := exec.Command("make", "release", "VERSION="+version)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "COMMIT=0123abc", "SOURCE_DATE_EPOCH=1700000000", "RELEASE_KEY="+key)
	if os.Getenv("RELEASE_CHECK") == "" {
		cmd.Env = append(cmd.Env, "PLATFORMS=linux/"+runtime.GOARCH, "SBOM=no")
	}
	return cmd
}

func wantSame(t *testing.T, first, again string) {
	t.Helper()
	names := files(t, first)
	if others := files(t, again); !slices.Equal(names, others) {
		t.Fatalf("files %v and %v", names, others)
	}
	wanted := []string{"RELEASE_NOTES.md", "SHA256SUMS", "SHA256SUMS.sig", deb("1.0.0")}
	if os.Getenv("RELEASE_CHECK") != "" {
		wanted = append(wanted, "tcp-ingestion_1.0.0.cdx.json", "tcp-ingestion_1.0.0_darwin_arm64.tar.gz",
			"tcp-ingestion_1.0.0_linux_arm64.tar.gz", "tcp-ingestion_1.0.0_windows_amd64.zip")
	}
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			t.Errorf("no %s in %v", name, names)
		}
	}
	for _, name := range names {
		if read(t, filepath.Join(first, name)) != read(t, filepath.Join(again, name)) {
			t.Errorf("%s differs", name)
		}
	}
}

// verify runs the page's commands, which must also fail for a file that was exchanged.
func verify(t *testing.T, dist, key, commands string) {
	signers := exec.Command("ssh-keygen", "-y", "-f", "/dev/stdin")
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, key)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	signers.Args[3] = path
	public, err := signers.Output()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "dist")
	if err := os.CopyFS(copied, os.DirFS(dist)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(copied, "allowed_signers"), "releases "+string(public))
	for _, c := range []struct{ exchanged, fails string }{{}, {deb("1.0.0"), "sha256sum"}, {"SHA256SUMS", "ssh-keygen"}} {
		if c.exchanged != "" {
			write(t, filepath.Join(copied, c.exchanged), strings.Replace(read(t, filepath.Join(copied, c.exchanged)),
				"0", "1", 1))
		}
		for command := range strings.Lines(commands) {
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir = copied
			out, err := cmd.CombinedOutput()
			if want := c.fails != "" && strings.HasPrefix(command, c.fails); want && err == nil ||
				c.fails == "" && err != nil {
				t.Errorf("%s exchanged: %s%v\n%s", c.exchanged, command, err, out)
			}
		}
	}
}

// pageCommands are the blocks of docs/packages.md that the tests can run, for this machine's architecture.
func pageCommands(t *testing.T) []string {
	t.Helper()
	page := read(t, filepath.Join(repository, "docs/packages.md"))
	var all []string
	for _, m := range regexp.MustCompile("((?:[^\n]+\n)*)\n```sh\n((?s:.*?))```\n").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(strings.Join(strings.Fields(m[1]), " "), "ot run by the tests") {
			all = append(all, strings.ReplaceAll(m[2], "amd64", runtime.GOARCH))
		}
	}
	if len(all) != 5 {
		t.Fatalf("%d blocks, want those to verify, install, use, upgrade and remove: %q", len(all), all)
	}
	return all
}

// newKey is a private key that signs releases.
func newKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return read(t, path)
}

func deb(version string) string { return "tcp-ingestion_" + version + "_" + runtime.GOARCH + ".deb" }

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
