package verdict

import (
	"encoding/hex"
	"fmt"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// Evidence is lines of times and numbers.

// at is a moment, and how long it is past.
func (c *caseOf) at(t time.Time) string {
	return fmt.Sprintf("%s, %s ago", t.UTC().Format(time.RFC3339), age(c.Now.Sub(t)))
}

// age is a time in one unit, for people.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// always is what every verdict ends with.
func (c *caseOf) always() (lines []string) {
	if c.Missing != "" {
		lines = append(lines, "what other instances know is missing: "+c.Missing)
	}
	if !c.seen {
		return lines
	}
	p := &c.p
	switch {
	case p.Claimed:
		lines = append(lines, fmt.Sprintf("by UDP, last from %s at %s, which anybody can say", p.Address,
			c.at(p.LastSeen.Time)))
	case p.Connected:
		lines = append(lines, fmt.Sprintf("connected to %s since %s, by %s from %s", p.Instance, c.at(p.ConnectedAt.Time),
			p.Transport, p.Address))
	case !p.ClosedAt.IsZero():
		lines = append(lines, fmt.Sprintf("last connection ended %s: %s; it was by %s from %s", c.at(p.ClosedAt.Time),
			p.CloseReason, p.Transport, p.Address))
	}
	if p.LastStored.IsZero() {
		lines = append(lines, "no record of it was ever stored")
	} else {
		lines = append(lines, fmt.Sprintf("last record stored %s; %d in all", c.at(p.LastStored.Time), p.Counts.Stored))
	}
	return lines
}

// knockLine says how the stranger knocked.
func (c *caseOf) knockLine() []string {
	lines := c.lineOf(c.knock)
	if c.byWhere {
		lines = append(lines, "its bytes do not say which device it is: its address is the one that this device had last")
	}
	return lines
}

func (c *caseOf) lineOf(s *stranger.Stranger) []string {
	line := fmt.Sprintf("%s knocked at the %s port %s, %s: %s", s.Address, s.Door, c.at(s.At), times(s.Count), s.Text)
	if s.IMEI != "" {
		line += "; the IMEI stood there as " + s.IMEIAs
	}
	lines := []string{line}
	if len(s.First) > 0 {
		lines = append(lines, "it began with "+hex.EncodeToString(s.First))
	}
	return lines
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// maxCandidates is how many strangers are shown who may be a device that was never seen.
const maxCandidates = 5

// candidates are strangers who may be the device.
func (c *caseOf) candidates() (lines []string) {
	for i := range c.others[:min(len(c.others), maxCandidates)] {
		lines = append(lines, c.lineOf(c.others[i])...)
	}
	if len(lines) > 0 {
		lines = append([]string{"these knocked lately, and their bytes do not say which device they are:"}, lines...)
	}
	return lines
}

func (c *caseOf) loginLine() []string {
	l := c.p.Login
	line := fmt.Sprintf("last login %s from %s: %s", c.at(l.At.Time), l.Address, l.Answer)
	if l.Reason != "" {
		line += ", " + l.Reason
	}
	if l.DelayMS > 0 {
		line += fmt.Sprintf(", after %v", time.Duration(l.DelayMS)*time.Millisecond)
	}
	return []string{line}
}

func (c *caseOf) errorLine() []string {
	e := c.p.LastError
	if e == nil {
		return nil
	}
	lines := []string{fmt.Sprintf("last error %s: %s: %s", c.at(e.At.Time), e.Cause, e.Text)}
	if len(e.First) > 0 {
		lines = append(lines, "that frame began with "+hex.EncodeToString(e.First[:min(len(e.First), maxFirst)]))
		if p, known := stranger.Identify(e.First); known && p.Cause != stranger.CauseFrameFirst {
			lines = append(lines, "which is "+p.Text)
		}
	}
	return lines
}

// maxFirst is how many of a frame's first bytes are shown: no position is among them.
const maxFirst = 16

// sinceLine says what has come since a record was last stored.
func (c *caseOf) sinceLine() []string {
	s := &c.p.Since
	line := "since a record was last stored:"
	for _, n := range []struct {
		n    uint64
		what string
	}{
		{s.Duplicate, "duplicate records"}, {s.DeadLettered, "records in dead letters"}, {s.Refused, "records refused"},
		{s.EmptyFrames, "frames without a record"}, {s.WrongCRC, "frames with a wrong CRC"}, {s.Messages, "messages"},
	} {
		if n.n > 0 {
			line += fmt.Sprintf(" %d %s,", n.n, n.what)
		}
	}
	if line[len(line)-1] == ':' {
		return nil
	}
	return []string{line[:len(line)-1]}
}

func (c *caseOf) errorAndSince() []string { return append(c.errorLine(), c.sinceLine()...) }

func (c *caseOf) engineLine() (lines []string) {
	if c.Service.Engine != "" && c.here() {
		lines = append(lines, "the engine says: "+c.Service.Engine)
	}
	return append(lines, c.errorAndSince()...)
}

func (c *caseOf) queueLine() (lines []string) {
	if c.here() {
		lines = append(lines, fmt.Sprintf("%d records wait to be stored, %d may", c.Service.Queued, c.Service.Capacity))
	}
	return append(lines, c.errorAndSince()...)
}

func (c *caseOf) takeOverLines() (lines []string) {
	for _, t := range c.p.TakeOvers {
		by := t.By
		if by == "" {
			by = "a newer connection"
		}
		lines = append(lines, fmt.Sprintf("%s: %s took over from %s", c.at(t.At.Time), by, t.From))
	}
	return append(lines, fmt.Sprintf("%d take-overs in all, %d logins", c.p.TakenOver, c.p.Logins))
}

func (c *caseOf) recordLine() []string {
	r := c.p.LastRecord
	line := fmt.Sprintf("its last record is of %s by its own clock, fix %s", r.Timestamp.UTC().Format(time.RFC3339), r.Fix)
	if r.Clock != "" {
		line += ", clock " + r.Clock
	}
	return []string{line}
}

func (c *caseOf) quietLine() []string {
	return []string{fmt.Sprintf("nothing but keep-alives, if anything, since %s", c.at(c.p.LastSeen.Time))}
}

func (c *caseOf) lostLine() []string {
	return []string{fmt.Sprintf("%s was last heard of %s", c.p.Instance, c.at(c.p.InstanceLost.Time))}
}

func (c *caseOf) seenLine() []string {
	return append([]string{fmt.Sprintf("last seen %s", c.at(c.p.LastSeen.Time))}, c.errorIfLast()...)
}

// errorIfLast is the last error, if nothing was stored after it.
func (c *caseOf) errorIfLast() []string {
	if e := c.p.LastError; e == nil || e.At.Before(c.p.LastStored.Time) {
		return nil
	}
	return c.errorLine()
}

func (c *caseOf) recordIfAny() []string {
	if c.p.LastRecord == nil {
		return c.sinceLine()
	}
	return append(c.recordLine(), c.sinceLine()...)
}
