package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
)

// Why asks what is the matter with a device, also with one that was never seen.
func (c *Client) Why(ctx context.Context, imei string) (Diagnosis, error) {
	var d Device
	err := c.do(ctx, http.MethodGet, "/v1/devices/"+url.PathEscape(imei), nil, 0, &d)
	var p *Problem
	switch {
	case errors.As(err, &p) && p.Verdict != nil: // it was never seen
		return Diagnosis{IMEI: imei, Verdict: *p.Verdict}, nil
	case err == nil && d.Verdict == nil:
		return Diagnosis{}, errors.New("the server gives no verdict: it is of an earlier version")
	case err != nil:
		return Diagnosis{}, err
	}
	return Diagnosis{IMEI: imei, LastSeen: d.LastSeen, Verdict: *d.Verdict}, nil
}

// Problems asks for a page of the devices with a problem, the worst first. The first page's cursor is empty.
func (c *Client) Problems(ctx context.Context, cursor string, limit int) (list ProblemList, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	err = c.do(ctx, http.MethodGet, "/v1/problems?"+q.Encode(), nil, problemTimeout, &list)
	return list, err
}
