//go:build linux

package testkit

import (
	"fmt"
	"net/url"
	"os"
	"testing"
)

// PostgresPair is a primary server and its synchronous standby: what the primary confirms is on both.
type PostgresPair struct {
	tb               testing.TB
	Primary, Standby *Postgres
}

// StartPostgresPair starts both and waits until the standby confirms what the primary writes. Settings are for both.
func StartPostgresPair(tb testing.TB, settings ...string) *PostgresPair {
	tb.Helper()
	settings = append([]string{"synchronous_standby_names=*"}, settings...)
	p := &PostgresPair{tb: tb, Primary: StartPostgres(tb, settings...), Standby: newPostgres(tb, settings)}
	p.copyPrimary()
	return p
}

// URL names both servers, and has a client look for the one that writes.
func (p *PostgresPair) URL() string {
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"),
		Host: fmt.Sprintf("%s,%s", p.Primary.Addr(), p.Standby.Addr()), Path: "postgres",
		RawQuery: "target_session_attrs=read-write"}).String()
}

// Promote makes the standby the primary and waits until it writes. The other one, which must be dead, becomes the
// standby that Rejoin starts; until then the new primary confirms nothing.
func (p *PostgresPair) Promote() {
	p.tb.Helper()
	if p.Primary.run != nil {
		p.tb.Fatal("promote: the primary still runs")
	}
	p.Primary, p.Standby = p.Standby, p.Primary
	p.Primary.SQL("SELECT pg_promote()")
}

// Rejoin starts the standby with a new copy of the primary's files, and waits until it confirms what that writes.
func (p *PostgresPair) Rejoin() {
	p.tb.Helper()
	if p.Standby.run != nil {
		p.Standby.Kill()
	}
	if err := os.RemoveAll(p.Standby.dir); err != nil {
		p.tb.Fatal(err)
	}
	p.copyPrimary()
}

func (p *PostgresPair) copyPrimary() {
	p.tb.Helper()
	p.Standby.mustRun("pg_basebackup", "--pgdata="+p.Standby.dir, "--dbname="+p.Primary.URL(), "--write-recovery-conf",
		"--wal-method=stream", "--checkpoint=fast", "--no-sync")
	if p.Standby.port == 0 {
		p.Standby.mustStart()
	} else {
		p.Standby.Restart()
	}
	p.AwaitStandby()
}

// AwaitStandby waits until the standby confirms what the primary writes.
func (p *PostgresPair) AwaitStandby() {
	p.tb.Helper()
	Eventually(p.tb, "a synchronous standby", func() bool {
		return p.Primary.SQL("SELECT state, sync_state FROM pg_stat_replication") == "streaming|sync"
	})
}
