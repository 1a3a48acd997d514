// Package verdict says why a device is, or is not, visible: one pure function from what is known to a verdict in words,
// its evidence and the next step. What follows from what is in one table.
package verdict

import (
	"regexp"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
)

// Severity says how bad it is.
type Severity string

// The severities.
const (
	Fine    Severity = "fine"
	Problem Severity = "problem"
	Unknown Severity = "unknown" // the device was never seen
)

// Code names a situation. The set is closed: Codes has all of them.
type Code string

// Verdict is what is the matter with a device. Text and Next are the table's own words; Evidence quotes what came from
// the device and its network, so escape it where it is shown. Positions are not in it.
type Verdict struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Evidence []string `json:"evidence,omitempty"`
	Next     string   `json:"next,omitempty"` // what to check or set, or the command to run
	Rank     int      `json:"rank"`           // the lower, the worse
}

// Service is how the instance is doing that is asked.
type Service struct {
	Instance string
	Engine   string // why it does not store; empty if it does
	Queued   int    // records that wait to be stored
	Capacity int    // how many may
	Stopping bool
}

// Known is all that a verdict rests on.
type Known struct {
	IMEI     string
	Presence *device.Presence // nil: the device was never seen
	Knocks   *Knocks          // of strangers; nil for none
	Service  Service
	Missing  string // why what other instances know is missing; empty if it is not
	Now      time.Time
}

// Of says what is the matter: the first row of the table that applies.
func Of(k Known) Verdict {
	c := newCase(&k)
	i := c.row()
	r := &table[i]
	v := Verdict{Code: r.code, Severity: r.severity, Text: r.text, Next: commandsFor(k.IMEI, r.next), Rank: i}
	if r.evidence != nil {
		v.Evidence = r.evidence(c)
	}
	v.Evidence = append(v.Evidence, c.always()...)
	return v
}

// inCommand is where a command of the table has the device's IMEI.
var inCommand = regexp.MustCompile(`(send|--device|--imei) IMEI\b`)

// commandsFor has the commands in a text be the device's, unless its name is one that none can have.
func commandsFor(imei, text string) string {
	if !isName.MatchString(imei) {
		return text
	}
	return inCommand.ReplaceAllString(text, "$1 "+imei)
}

var isName = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)

// RankOf is the verdict's rank and severity alone, which costs much less.
func RankOf(k Known) (rank int, severity Severity) {
	i := newCase(&k).row()
	return i, table[i].severity
}

// row is the index of the first row that applies. The last one always does.
func (c *caseOf) row() int {
	return slices.IndexFunc(table, func(r row) bool { return r.applies(c) })
}

// Description is a row of the table, for the documentation.
type Description struct {
	Code       Code
	Severity   Severity
	Text, Next string
}

// Descriptions are all verdicts that there are, the worst first.
func Descriptions() (all []Description) {
	for i := range table {
		r := &table[i]
		all = append(all, Description{r.code, r.severity, r.text, r.next})
	}
	return all
}
