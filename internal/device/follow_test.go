package device

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/source"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// tank is a row of overrides that calls element 9 of all devices so.
func tank(name string) string { return "*\t9\t2\ttank." + name + "\tnumber\t0\t0.05\t0\t%\n" }

// run runs the follower until the test ends.
func (s *subject) run(f Follower) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx)
	}()
	s.Cleanup(func() {
		cancel()
		<-done
		_ = f.Close()
	})
}

// signal is how an element 9 of 100 is read: its name and value.
func signal(r *meaning.Reader) string {
	v, _ := r.Decode(9, meaning.Width2, []byte{0, 100})
	return fmt.Sprint(v.Name, " ", v.Text())
}

// A change of the file counts for the next record of every device. A broken file changes nothing, and it is said once,
// with line and column, until somebody asks again.
func TestOverridesAreFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides")
	write(t, path, tank("a"))
	s, _ := newSubject(t, 10, nil)
	f := s.FollowOverrides(path)
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := s.Hold(imei(1))
	defer d.Release()
	if got := signal(d.Meaning().Current()); got != "tank.a 5" {
		t.Errorf("signals %s", got)
	}
	watcher := f.(*follower[*meaning.Dictionary]).watcher
	watcher.Refresh = 20 * time.Millisecond
	watcher.Source.(*source.File[*meaning.Dictionary]).Settle = 10 * time.Millisecond
	s.run(f)
	write(t, path, tank("b"))
	testkit.Eventually(t, "the change", func() bool { return signal(d.Meaning().Current()) == "tank.b 5" })

	write(t, path, tank("c")+"*\t10\t3\tx\n")
	const broken = "the last good ones stay"
	testkit.Eventually(t, "said", func() bool { return s.log.Has(broken, "line 2, column width", path) })
	if err := f.Read(t.Context()); err == nil {
		t.Error("no error of a reload")
	}
	if n := s.log.Count(broken); n != 2 {
		t.Errorf("%d lines of the broken file", n)
	}
	if got := signal(d.Meaning().Current()); got != "tank.b 5" {
		t.Errorf("signals %s with a broken file", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "said", func() bool { return s.log.Has(broken, "no such file") })
	write(t, path, tank("c"))
	testkit.Eventually(t, "mended", func() bool { return signal(d.Meaning().Current()) == "tank.c 5" })
	write(t, path, "# nothing\n")
	testkit.Eventually(t, "empty", func() bool { return !strings.Contains(signal(d.Meaning().Current()), "tank") })
}

func TestOverridesThatAreBrokenAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides")
	write(t, path, "*\tnine\t2\tx\n")
	s, _ := newSubject(t, 10, nil)
	err := s.FollowOverrides(path).Start(t.Context())
	var where *meaning.OverrideError
	if !errors.As(err, &where) || where.Line != 1 || where.Column != "id" {
		t.Errorf("error %v", err)
	}
	if s.log.String() != "" {
		t.Errorf("logged: %s", s.log)
	}
}

func TestModelsAreFollowed(t *testing.T) {
	path := modelsFile(t, imei(1)+" FMB640\n")
	s, _ := newSubject(t, 10, nil)
	f := s.FollowModels(NewModelsFile(path))
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := s.Hold(imei(1))
	defer d.Release()
	if r := d.Meaning().Current(); r.Model() != "FMB640" || r.By() != meaning.ByMap {
		t.Errorf("it is %v", r)
	}
	watcher := f.(*follower[*Models]).watcher
	watcher.Refresh = 20 * time.Millisecond
	watcher.Source.(*source.File[*Models]).Settle = 10 * time.Millisecond
	s.run(f)
	write(t, path, imei(1)+" spaceship\n")
	testkit.Eventually(t, "said", func() bool { return s.log.Has("the last good ones stay", "line 1", "spaceship") })
	if m := d.Meaning().Current().Model(); m != "FMB640" {
		t.Errorf("it is %s with a broken file", m)
	}
	write(t, path, imei(1)+" FMC130\n")
	testkit.Eventually(t, "the change", func() bool { return d.Meaning().Current().Model() == "FMC130" })
}

// While records are read the dictionary changes again and again. Each record is read by one dictionary: what it calls
// an element goes with the version that it names.
func TestReloadUnderLoad(t *testing.T) {
	s, _ := newSubject(t, 1000, nil)
	dictionaries := make([]*meaning.Dictionary, 4)
	names := map[string]string{} // by the version
	for i := range dictionaries {
		name := string(rune('a' + i))
		d, err := meaning.Embedded().Override(tank(name))
		if err != nil {
			t.Fatal(err)
		}
		dictionaries[i] = d
		names[d.Version()] = "tank." + name + " 5"
	}
	s.SetDictionary(dictionaries[0])
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for n := range 4 {
		readers.Go(func() {
			for i := n; ; i += 4 {
				select {
				case <-stop:
					return
				default:
				}
				d := s.Hold(imei(i % 100))
				r := send(d, element(9, meaning.Width2), fmx6Elements[i%len(fmx6Elements)])
				if got := signal(r); got != names[r.Dictionary().Version()] {
					t.Errorf("%s by dictionary %s", got, r.Dictionary().Version())
				}
				d.Release()
			}
		})
	}
	for i := range 100 {
		s.SetDictionary(dictionaries[i%len(dictionaries)])
	}
	close(stop)
	readers.Wait()
	d := s.Hold(imei(1))
	defer d.Release()
	if got := signal(d.Meaning().Current()); got != "tank.d 5" {
		t.Errorf("signals %s in the end", got)
	}
}
