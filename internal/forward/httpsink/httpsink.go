// Package httpsink delivers records to a server by HTTP: each batch is a POST of a JSON array.
//
//	POST /path HTTP/1.1
//	Content-Type: application/json
//	Content-Encoding: gzip
//	Authorization: Bearer …
//	Webhook-Id: batch_…        the same whenever the same batch is sent again
//	Webhook-Timestamp: …       seconds since 1970, of this attempt
//	Webhook-Signature: v1,…    base64(HMAC-SHA256(key, id "." timestamp "." body as sent))
//
// The headers and the signature are those of Standard Webhooks. A status of 2xx says that the server has all of the
// batch.
package httpsink

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
)

// Limits of a connection. Those of a request are in Options.
const (
	dialTimeout      = 10 * time.Second
	idleTimeout      = 90 * time.Second
	maxAnswerHeaders = 64 << 10
)

// maxSplits is how often a batch is split to find what of it the server refuses. What is refused then is put aside as
// it is, so that a server that refuses everything is not asked for every record.
const maxSplits = 64

// mostRefused is of how many batches in a row the server may refuse all. What it refuses then is taken for the sender's
// mistake: a proxy answers 400 as well to a certificate that has expired, or to HTTP where it wants TLS.
const mostRefused = 8

// Sink is a forward.Sink.
type Sink struct {
	options Options
	client  *http.Client
	refuse  forward.Refuse

	most  int // items that the server takes at once, as far as it has said
	trust int // batches more of which the server may refuse all; see mostRefused
	resume
}

// resume is what is done of the batch that is tried again.
type resume struct {
	batch    string // which one it is
	done     int    // items of it that are accepted or refused
	splits   int
	accepted bool // at least one is
	refused  []refused
}

// refused is a part of the batch that is to be put aside.
type refused struct {
	from, to int
	reason   string
}

// New makes a sink. What the server refuses for good goes to refuse. The error joins an *forward.OptionError for each
// option that is wrong.
func New(o Options, refuse forward.Refuse) (*Sink, error) {
	tls, err := o.TLS.Config()
	if err := o.check(err); err != nil {
		return nil, err
	}
	return &Sink{options: o, refuse: refuse, most: math.MaxInt, client: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: tls, ForceAttemptHTTP2: true,
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: 1,
			MaxResponseHeaderBytes: maxAnswerHeaders, DisableCompression: true, // no answer unfolds
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close implements forward.Sink.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Deliver implements forward.Sink.
func (s *Sink) Deliver(ctx context.Context, batch []forward.Item) error {
	if which := forward.BatchName(batch); which != s.batch {
		s.resume = resume{batch: which}
	}
	for s.done < len(batch) {
		rest := batch[s.done:]
		if err := s.send(ctx, rest[:min(len(rest), s.most)]); err != nil {
			return err
		}
	}
	if err := s.putAside(batch); err != nil {
		return err
	}
	s.resume = resume{}
	return nil
}

// putAside puts aside what is refused of the batch, if the server is known to accept others. Else all of it is to be
// sent again.
func (s *Sink) putAside(batch []forward.Item) error {
	if s.accepted {
		s.trust = mostRefused
	} else if s.trust == 0 {
		reason := s.refused[0].reason
		s.resume = resume{}
		return fmt.Errorf("the server refuses all records and accepts none, which looks like our mistake: %s", reason)
	}
	for len(s.refused) > 0 {
		part := s.refused[0]
		if err := s.refuse(part.reason, batch[part.from:part.to]...); err != nil {
			return err
		}
		s.refused = s.refused[1:]
	}
	if !s.accepted {
		s.trust--
	}
	return nil
}

// send delivers the part that begins behind what is done. One that the server refuses is sent in halves, the older one
// first.
func (s *Sink) send(ctx context.Context, part []forward.Item) error {
	a, err := s.post(ctx, part)
	switch {
	case err != nil:
		return err
	case a.accepted():
		s.accepted = true
		if s.done += len(part); len(part) == s.most {
			s.most++
		}
		return nil
	case len(part) > 1 && a.tooLarge():
		s.most = len(part) / 2
		return s.sendHalves(ctx, part)
	case len(part) > 1 && s.splits < maxSplits:
		s.splits++
		return s.sendHalves(ctx, part)
	}
	s.refused = append(s.refused, refused{from: s.done, to: s.done + len(part), reason: a.String()})
	s.done += len(part)
	return nil
}

func (s *Sink) sendHalves(ctx context.Context, part []forward.Item) error {
	half := (len(part) + 1) / 2
	if err := s.send(ctx, part[:half]); err != nil {
		return err
	}
	return s.send(ctx, part[half:])
}

// post asks once. The error is for what may go well later.
func (s *Sink) post(ctx context.Context, part []forward.Item) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	request, out, err := s.request(ctx, part)
	if err != nil {
		return answer{}, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return answer{}, withoutURL(err)
	}
	defer response.Body.Close()
	a := readAnswer(response, cancel)
	switch {
	case a.later():
		return a, failure(a, response.Header)
	case a.accepted() && !out.complete():
		return a, fmt.Errorf("HTTP %d came before the server had all of the batch", a.status)
	}
	return a, nil
}

// withoutURL is the error without the address, which may have a token in it.
func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}
