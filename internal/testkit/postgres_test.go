//go:build linux

package testkit

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPostgresKeepsItsFilesThroughKillAndRestart(t *testing.T) {
	p := StartPostgres(t)
	p.SQL("CREATE TABLE t AS SELECT 'v' AS v")
	pids := p.processes()
	if len(pids) < 4 {
		t.Fatalf("the server has only the processes %v", pids)
	}
	p.Kill()
	for _, pid := range pids {
		if running(pid) {
			t.Errorf("process %d survives", pid)
		}
	}
	if _, err := p.TrySQL(p.URL(), "SELECT 1"); err == nil {
		t.Fatal("a killed server answers")
	}
	p.Restart("work_mem=2MB")
	if got := p.SQL("SELECT v, current_setting('work_mem'), current_setting('fsync') FROM t"); got != "v|2MB|on" {
		t.Fatalf("after the restart: %q", got)
	}
	if p.CPU() <= 0 {
		t.Error("the server has computed for no time")
	}
}

func TestPostgresFrozenAnswersAfterThaw(t *testing.T) {
	p := StartPostgres(t, "fsync=off")
	p.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	asked := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "-qAt", "-c", "SELECT 1", p.URL())
	if out, err := asked.CombinedOutput(); err == nil || len(out) > 0 {
		t.Fatalf("a frozen server answers %q, %v", out, err)
	}
	for _, pid := range p.processes() {
		Eventually(t, "stopped", func() bool { return processState(t, pid) == "T" })
	}
	p.Thaw()
	if got := p.SQL("SELECT 1"); got != "1" {
		t.Fatalf("after the thaw: %q", got)
	}
}

func TestPostgresEndsWhileFrozen(t *testing.T) {
	var pids []int
	var dir string
	t.Run("inner", func(t *testing.T) {
		p := StartPostgres(t, "fsync=off")
		pids, dir = p.processes(), p.Dir()
		p.Freeze()
	})
	for _, pid := range pids {
		Eventually(t, "no process left over", func() bool { return !running(pid) })
	}
	if _, err := os.Stat(filepath.Dir(dir)); !os.IsNotExist(err) {
		t.Fatalf("files are left over: %v", err)
	}
}

func TestPostgresTellsClientsOfShutdown(t *testing.T) {
	p := StartPostgres(t, "fsync=off")
	said := make(chan string, 1)
	go func() {
		_, err := p.TrySQL(p.URL(), `\set VERBOSITY verbose
			SELECT pg_sleep(60)`)
		said <- err.Error()
	}()
	Eventually(t, "asleep", func() bool {
		return p.SQL("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"
	})
	p.Shutdown()
	if text := <-said; !strings.Contains(text, "57P01") {
		t.Fatalf("the client is told %q", text)
	}
	p.Restart()
	p.SQL("SELECT 1")
}

func TestPostgresPairKeepsWhatIsConfirmed(t *testing.T) {
	p := StartPostgresPair(t, "fsync=off")
	p.Primary.SQL("CREATE TABLE t (n int)")
	for round := range 2 {
		if got := p.Standby.SQL("SELECT pg_is_in_recovery()"); got != "t" {
			t.Fatalf("the standby is none: %q", got)
		}
		p.Primary.DatabaseSQL("postgres", "INSERT INTO t VALUES (1)")
		p.Primary.Kill()
		p.Promote()
		one, err := p.Primary.TrySQL(p.URL(), "SELECT sum(n), pg_is_in_recovery() FROM t")
		if want := []string{"1|f", "2|f"}[round]; err != nil || one != want {
			t.Fatalf("after fail-over %d: %q, %v, want %q", round, one, err, want)
		}
		p.Rejoin()
	}
}
