// Package retention counts how long rows have been kept, by a clock of the database's own that no wrong time of day can
// move. What is deleted for its age cannot be brought back, and the wall clock of a machine may be years off: before
// NTP, with an empty battery, by somebody's hand.
//
// The clock is a row of the database. It holds how long the database has been in use, and at which uptime of which boot
// of the machine that was noted. Whoever advances it adds the uptime that has passed since, if the machine has not been
// booted meanwhile; time in between that nobody can vouch for does not count. So a row's age by this clock is never
// more than its true age, and the same whoever advances it and how often: processes may be restarted, and two may run
// at a time.
package retention

import (
	"crypto/rand"
	"sync"
	"time"
)

// MaxStep is what one advance adds at most. More has passed only where a service did not run, or its machine slept; if
// a machine's uptime ever leaps, it does no more harm than that.
const MaxStep = time.Hour

// Schema makes the clock, set to 0.
const Schema = `
CREATE TABLE IF NOT EXISTS retention_clock (in_use_ms INTEGER NOT NULL, boot TEXT NOT NULL, uptime_ms INTEGER NOT NULL);
INSERT INTO retention_clock SELECT 0, '', 0 WHERE NOT EXISTS (SELECT 1 FROM retention_clock);`

// Advance is the statement that sets the clock forward and returns what it says, in ms. It takes Uptime's boot and its
// time in ms, which are to be asked for within the transaction. In one boot the uptime that it notes never goes back,
// or the time until it is there again would count twice.
const Advance = `UPDATE retention_clock SET boot = ?1,
	uptime_ms = CASE boot WHEN ?1 THEN max(uptime_ms, ?2) ELSE ?2 END,
	in_use_ms = in_use_ms + CASE boot WHEN ?1 THEN max(0, min(?2 - uptime_ms, 3600000)) ELSE 0 END
	RETURNING in_use_ms`

// Uptime is for how long this machine has been up, the time that it slept included, and a name of its own for the time
// since it was booted: the same for all processes where the system gives it one, else for this process alone.
func Uptime() (boot string, uptime time.Duration) { return thisBoot(), sinceBoot() }

var thisBoot = sync.OnceValue(func() string {
	if id := bootID(); id != "" {
		return id
	}
	return rand.Text()
})
