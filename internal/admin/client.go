package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
)

// noAnswer is the error of a server that took the request and has not answered in time.
type noAnswer struct{ after time.Duration }

func (e *noAnswer) Error() string { return fmt.Sprintf("no answer within %v", e.after) }

// cancelledBody ends its request's context when it is closed.
type cancelledBody struct {
	io.ReadCloser
	cancel func()
}

func (b *cancelledBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// Client asks a server. Its errors are a [Problem] if the server answers that something is wrong, else those of the
// network.
type Client struct {
	base  string // scheme, host and port
	token string
	http  http.Client
}

// answerTimeout is how long a server may take beyond the wait that it is asked for.
const answerTimeout = 20 * time.Second

// askAgain is after how long a result is asked for once more when a server gives none although the wait is not over.
const askAgain = 500 * time.Millisecond

// ErrNoPort is an address whose port is known to the server only.
var ErrNoPort = errors.New("the port is any free one")

// NewClient returns a client of the server at the address, which is ADMIN_ADDRESS as the server has it: all addresses
// stand for the loopback one. The token is empty if none is needed.
func NewClient(address, token string) (*Client, error) {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return nil, err
	case port == "0":
		return nil, ErrNoPort
	case host == "":
		host = "127.0.0.1"
	case net.ParseIP(host).IsUnspecified():
		host = loopbackOf(host)
	}
	return &Client{base: "http://" + net.JoinHostPort(host, port), token: token, http: http.Client{
		Transport:     &http.Transport{}, // through no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopbackOf(unspecified string) string {
	if net.ParseIP(unspecified).To4() == nil {
		return "::1"
	}
	return "127.0.0.1"
}

// URL is where the server is.
func (c *Client) URL() string { return c.base }

// Close closes the connections that are kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Submit sends a command, and waits for its result as r says. If r has no ID it gets one, so that what was accepted can
// be found again.
func (c *Client) Submit(ctx context.Context, imei string, r *Request) (e Entry, err error) {
	if r.ID == nil {
		r.ID = new(NewID())
	}
	body, err := json.Marshal(r)
	if err != nil {
		return e, err
	}
	wait := MaxWait
	if r.WaitMS != nil {
		wait = time.Duration(*r.WaitMS) * time.Millisecond
	}
	err = c.do(ctx, http.MethodPost, commandsPath(imei), body, wait, &e)
	return e, err
}

// Resolve says what the name of a request means for the device. Nothing is sent.
func (c *Client) Resolve(ctx context.Context, imei string, r Request) (n Named, err error) {
	r.DryRun = true
	body, err := json.Marshal(&r)
	if err != nil {
		return n, err
	}
	err = c.do(ctx, http.MethodPost, commandsPath(imei), body, 0, &n)
	return n, err
}

// Names are the commands that have names, those of a family if it is not empty.
func (c *Client) Names(ctx context.Context, family string) (list NameList, err error) {
	q := url.Values{}
	if family != "" {
		q.Set("family", family)
	}
	err = c.do(ctx, http.MethodGet, "/v1/names?"+q.Encode(), nil, 0, &list)
	return list, err
}

// Shed has a part of the devices leave, and says what is being done.
func (c *Client) Shed(ctx context.Context, p ShedPart) (status shed.Status, err error) {
	body, err := json.Marshal(&p)
	if err != nil {
		return status, err
	}
	err = c.do(ctx, http.MethodPost, shedPath, body, 0, &status)
	return status, err
}

// Shedding says what is being shed, or was last.
func (c *Client) Shedding(ctx context.Context) (status shed.Status, err error) {
	err = c.do(ctx, http.MethodGet, shedPath, nil, 0, &status)
	return status, err
}

// Await returns a command when it is final, or as it is after the wait, however long. e is how it is known.
func (c *Client) Await(ctx context.Context, e Entry, wait time.Duration) (Entry, error) {
	end := time.Now().Add(wait)
	for !e.State.Final() && time.Until(end) > 0 {
		now, err := c.Command(ctx, e.IMEI, e.ID, min(time.Until(end), MaxWait))
		if err != nil {
			return e, err
		}
		if e = now; !e.State.Final() && !backoff.Pause(ctx, min(askAgain, max(time.Until(end), 0))) {
			return e, ctx.Err()
		}
	}
	return e, nil
}

// Command returns a command when it is final, or as it is after the wait, MaxWait at most. Without an IMEI it is found
// by its id alone, here as in Cancel.
func (c *Client) Command(ctx context.Context, imei, id string, wait time.Duration) (e Entry, err error) {
	path := commandPath(imei, id) + "?wait_ms=" + strconv.FormatInt(max(wait.Milliseconds(), 0), 10)
	err = c.do(ctx, http.MethodGet, path, nil, wait, &e)
	return e, err
}

// Cancel takes a command back that is still queued.
func (c *Client) Cancel(ctx context.Context, imei, id string) (e Entry, err error) {
	err = c.do(ctx, http.MethodDelete, commandPath(imei, id), nil, 0, &e)
	return e, err
}

// Commands returns a page of a device's commands, or of all if imei is empty, the newest first: only those without a
// final state if open. The cursor is empty, or Next of the page before. The limit is 1 to [command.MaxPage].
func (c *Client) Commands(
	ctx context.Context, imei string, open bool, cursor string, limit int,
) (list CommandList, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if open {
		q.Set("state", "open")
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	err = c.do(ctx, http.MethodGet, commandsPath(imei)+"?"+q.Encode(), nil, 0, &list)
	return list, err
}

// Devices are those of the state at all instances, by IMEI; only one of them if imei is not empty. An error is the
// last. It is an [Incomplete] if all that is missing is what other instances know.
func (c *Client) Devices(ctx context.Context, imei string, state device.State) iter.Seq2[device.Presence, error] {
	return func(yield func(device.Presence, error) bool) {
		q := url.Values{"state": {string(state)}}
		if imei != "" {
			q.Set("imei", imei)
		}
		response, err := c.send(ctx, http.MethodGet, "/v1/devices?"+q.Encode(), nil, 0)
		if err != nil {
			yield(device.Presence{}, err)
			return
		}
		defer response.Body.Close()
		stopped := false
		missing, err := eachDevice(response.Body, func(p device.Presence) bool {
			stopped = !yield(p, nil)
			return !stopped
		})
		switch {
		case stopped:
		case err != nil:
			yield(device.Presence{}, fmt.Errorf("not this API: %w", err))
		case missing != "":
			yield(device.Presence{}, Incomplete(missing))
		}
	}
}

// Incomplete says why what other instances know is missing.
type Incomplete string

func (i Incomplete) Error() string { return string(i) }

// eachDevice reads {"devices":[…],"incomplete":…} one by one until fn has enough.
func eachDevice(body io.Reader, fn func(device.Presence) bool) (incomplete string, err error) {
	decoder := json.NewDecoder(body)
	for _, want := range []json.Token{json.Delim('{'), "devices", json.Delim('[')} {
		if got, err := decoder.Token(); err != nil {
			return "", err
		} else if got != want {
			return "", fmt.Errorf("not a list of devices: %v where %v should be", got, want)
		}
	}
	for decoder.More() {
		var p device.Presence
		if err := decoder.Decode(&p); err != nil {
			return "", err
		}
		if !fn(p) {
			return "", nil
		}
	}
	_, err = decoder.Token() // the end of the list, without which it is cut off
	for err == nil {
		var name json.Token
		if name, err = decoder.Token(); err != nil || name == json.Delim('}') {
			break
		}
		var value string
		if err = decoder.Decode(&value); name == "incomplete" {
			incomplete = value
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return incomplete, err
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, wait time.Duration, into any) error {
	response, err := c.send(ctx, method, path, body, wait)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("not this API: %w", err)
	}
	return nil
}

// send returns a response of success, which has to begin within the wait that is asked for and answerTimeout.
func (c *Client) send(
	ctx context.Context, method, path string, body []byte, wait time.Duration,
) (*http.Response, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		giveUp(nil)
		return nil, err
	}
	late := &noAnswer{max(wait, 0) + answerTimeout}
	timer := time.AfterFunc(late.after, func() { giveUp(late) })
	defer timer.Stop()
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		giveUp(nil)
		if context.Cause(ctx) == error(late) {
			return nil, late
		}
		var named *url.Error // by what the caller knows
		errors.As(err, &named)
		return nil, named.Err
	}
	response.Body = &cancelledBody{response.Body, func() { giveUp(nil) }}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, readProblem(response)
}

// readProblem takes what does not come from the API for what it is.
func readProblem(response *http.Response) *Problem {
	p := &Problem{}
	b, _ := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if json.Unmarshal(b, p) != nil || p.Text == "" {
		p = problem(0, "not this API: %s: %.200s", response.Status, bytes.TrimSpace(b))
	}
	p.Status = response.StatusCode
	return p
}
