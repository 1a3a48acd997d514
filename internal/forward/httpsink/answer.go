package httpsink

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

const (
	// maxAnswer is how much is read of an answer, so that its connection can be used again. One that has more is closed.
	maxAnswer = 64 << 10
	// answerTime is how long the body of an answer is waited for, whose status is known by then.
	answerTime = 2 * time.Second
	// maxReason is how much of an answer is shown.
	maxReason = 200
)

// answer is what the server says of a part of a batch.
type answer struct {
	status int
	text   string // the beginning of its body, escaped
}

func (a answer) String() string {
	s := fmt.Sprintf("HTTP %d", a.status)
	if a.text != "" {
		s += ": " + a.text
	}
	return s
}

func (a answer) accepted() bool { return a.status/100 == 2 }

func (a answer) tooLarge() bool { return a.status == http.StatusRequestEntityTooLarge }

// later reports whether the same request may go well at another time. What is about the sender, the address or the way
// of sending would be said of any record: it waits until somebody mends that. The other 4xx are about the records.
func (a answer) later() bool {
	switch a.status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, // who we are
		http.StatusProxyAuthRequired,
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusMisdirectedRequest, // where we ask
		http.StatusUnsupportedMediaType, http.StatusUpgradeRequired, http.StatusPreconditionRequired, // how, as gzip
		http.StatusRequestHeaderFieldsTooLarge,
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, // when we ask
		http.StatusLocked:
		return true
	}
	return !a.accepted() && a.status/100 != 4
}

// readAnswer reads the body too, for answerTime at the most; end is to end the request.
func readAnswer(r *http.Response, end func()) answer {
	timer := time.AfterFunc(answerTime, end)
	defer timer.Stop()
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxAnswer)) // the status says it all
	text := strings.TrimSpace(string(body[:min(len(body), maxReason)]))
	return answer{status: r.StatusCode, text: terminal.Line(text)}
}

// failure is the error for an answer after which the same is sent again later.
func failure(a answer, h http.Header) error {
	err := errors.New(a.String())
	if where := h.Get("Location"); a.status/100 == 3 && where != "" {
		err = fmt.Errorf("HTTP %d to another address, which is not followed", a.status)
	}
	if after := retryAfter(h.Get("Retry-After"), time.Now()); after > 0 {
		return &forward.RetryError{After: after, Err: err}
	}
	return err
}

// retryAfter reads the header: seconds, or a time of day. 0: it says nothing.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
