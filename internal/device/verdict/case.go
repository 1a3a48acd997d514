package verdict

import (
	"net/netip"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// When what goes on is a problem.
const (
	silentAfter = 30 * time.Second // of a device that has logged in and sends nothing: why did it connect?
	quietAfter  = 2 * time.Hour    // of one that has sent records, and is still connected
	goneAfter   = 24 * time.Hour   // of one that has left: many sleep for hours
	repeatedly  = 3                // frames of a kind in a row
	recently    = 10 * time.Minute // for take-overs, and for strangers who may be a device that was never seen
)

// caseOf is what the table's rows ask of what is known.
type caseOf struct {
	*Known
	p       device.Presence    // of its connections, or of its datagrams if those are later; zero if it was never seen
	seen    bool               // there is a presence
	knock   *stranger.Stranger // the last one who may be this device, since it was last seen
	byWhere bool               // which only its address says
	others  []*stranger.Stranger
}

func newCase(k *Known) *caseOf {
	c := &caseOf{Known: k}
	if k.Presence != nil {
		c.p, c.seen = *k.Presence, true
		if d := c.p.Datagrams; d != nil && d.LastSeen.After(c.p.LastSeen.Time) {
			login := c.p.Login // which datagrams have none of, but they are rejected like one
			if c.p = *d; login.Answer == device.LoginRejected && login.At.After(c.p.LastSeen.Time) {
				c.p.Login = login
			}
		}
	}
	c.findKnock()
	return c
}

// findKnock finds the stranger that the device may be: one with its IMEI, or one from where it was last. While the
// device is connected it is none.
func (c *caseOf) findKnock() {
	if c.p.Connected || c.Knocks == nil {
		return
	}
	if c.knock = c.newest(c.Knocks.byIMEI[c.IMEI]); c.knock == nil && c.seen {
		c.knock = c.newest(c.Knocks.byHost[hostOf(c.p.Address)])
		c.byWhere = c.knock != nil
	}
	if !c.seen && c.knock == nil {
		c.others = c.Knocks.candidates
	}
}

// newest is the first one, if he knocked after the device last got in.
func (c *caseOf) newest(who *stranger.Stranger) *stranger.Stranger {
	if who == nil || c.seen && !who.At.After(c.lastTry()) {
		return nil
	}
	return who
}

// lastTry is when the device was last heard, or refused. Its connection may end later, by a timeout.
func (c *caseOf) lastTry() time.Time {
	if c.p.Login.At.After(c.p.LastSeen.Time) {
		return c.p.Login.At.Time
	}
	return c.p.LastSeen.Time
}

// here reports whether the device is connected to the instance that is asked.
func (c *caseOf) here() bool { return c.p.Connected && c.p.Instance == c.Service.Instance }

// knocked is whether the last try was a knock for one of the causes.
func knocked(causes ...stranger.Cause) func(*caseOf) bool {
	return func(c *caseOf) bool { return c.knock != nil && slices.Contains(causes, c.knock.Cause) }
}

// rejected reports whether the last login was refused for the reason, and the device has not got in since.
func rejected(reason string) func(*caseOf) bool {
	return func(c *caseOf) bool {
		return c.p.Login.Answer == device.LoginRejected && c.p.Login.Reason == reason && !c.p.Connected && c.knock == nil
	}
}

// failed reports whether a frame failed for one of the causes, or the connection ended for one, and nothing was stored
// after that. Where duplicates came too it has to be the last frame: what was refused may have been stored late.
func failed(causes ...string) func(*caseOf) bool {
	return func(c *caseOf) bool {
		if !c.p.Connected && slices.Contains(causes, c.p.CloseReason) {
			return true
		}
		e := c.p.LastError
		return e != nil && slices.Contains(causes, e.Cause) && !e.At.Before(c.p.LastStored.Time) &&
			(c.p.Since.Duplicate == 0 || !e.At.Before(c.p.LastSeen.Time) || c.nothingSinceLogin())
	}
}

// nothingSinceLogin reports whether no frame has come on the connection. By UDP there is no login, and a datagram has
// come.
func (c *caseOf) nothingSinceLogin() bool {
	return c.p.Connected && !c.p.Claimed && c.p.Frames == 0 && !c.p.LastSeen.After(c.p.ConnectedAt.Time)
}

// failedLately is failed of what passes by itself: of a device that left long ago it says nothing.
func failedLately(causes ...string) func(*caseOf) bool {
	return func(c *caseOf) bool {
		return failed(causes...)(c) && (c.p.Connected || c.p.LastError != nil && c.ago(c.p.LastError.At) < recently)
	}
}

func closed(reasons ...string) func(*caseOf) bool {
	return func(c *caseOf) bool { return c.seen && !c.p.Connected && slices.Contains(reasons, c.p.CloseReason) }
}

// pingPong reports whether two devices take over from each other: lately again and again, from two places in turn, or
// so often that one alone does not.
func pingPong(c *caseOf) bool {
	lately := 0
	places := make(map[netip.Addr]bool)
	for _, t := range c.p.TakeOvers {
		if c.Now.Sub(t.At.Time) < recently {
			lately++
			places[hostOf(t.From)] = true
		}
	}
	return lately >= repeatedly && len(places) > 1 || lately >= 2*repeatedly
}

// clock and fix are those of the last record.
func clock(is string) func(*caseOf) bool {
	return func(c *caseOf) bool { return c.p.LastRecord != nil && c.p.LastRecord.Clock == is }
}

func fix(is string) func(*caseOf) bool {
	return func(c *caseOf) bool { return c.p.LastRecord != nil && c.p.LastRecord.Fix == is }
}

// ago is how long something is past.
func (c *caseOf) ago(t device.Time) time.Duration { return c.Now.Sub(t.Time) }
