package httpsink

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
)

// The headers of Standard Webhooks.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const userAgent = "tcp-ingestion-forward"

// document is a JSON array of the payloads, one a line.
func document(part []forward.Item) []byte {
	size := 2
	for i := range part {
		size += len(part[i].Payload) + 2
	}
	array := append(make([]byte, 0, size), '[')
	for i := range part {
		if i > 0 {
			array = append(array, ",\n"...)
		}
		array = append(array, part[i].Payload...)
	}
	return append(array, ']')
}

// batchID is the same whenever the same records are sent again, also by another process.
func batchID(document []byte) string {
	sum := sha256.Sum256(document)
	return "batch_" + hex.EncodeToString(sum[:16])
}

// sign is the signature that Standard Webhooks calls v1.
func sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// request is one for the part, and what counts the bytes of it that have been taken to be sent.
func (s *Sink) request(ctx context.Context, part []forward.Item) (*http.Request, *outgoing, error) {
	content := document(part)
	id := batchID(content)
	if s.options.Gzip {
		content = compress(content)
	}
	out := &outgoing{content: content}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.URL, out.open())
	if err != nil {
		return nil, nil, err
	}
	r.ContentLength = int64(len(content))
	r.GetBody = func() (io.ReadCloser, error) { return out.open(), nil }
	return r, out, s.setHeaders(r, id, content)
}

func (s *Sink) setHeaders(r *http.Request, id string, content []byte) error {
	h := r.Header
	name, value, err := s.options.header()
	if err != nil {
		return err
	}
	if name != "" {
		h.Set(name, value)
		if http.CanonicalHeaderKey(name) == "Host" {
			r.Host = value
		}
	}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", userAgent)
	if s.options.Gzip {
		h.Set("Content-Encoding", "gzip")
	}
	token, err := s.options.Token.Read()
	if err != nil {
		return err
	}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	key, err := s.options.key()
	if err != nil {
		return err
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	h.Set(headerID, id)
	h.Set(headerTimestamp, timestamp)
	if len(key) > 0 {
		h.Set(headerSignature, sign(key, id, timestamp, content))
	}
	return nil
}

func compress(content []byte) []byte {
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // a level that there is
	_, _ = z.Write(content)                              // a buffer does not fail
	_ = z.Close()
	return packed.Bytes()
}

// outgoing is a request's body. It is read from its beginning again if the connection turns out to be dead.
type outgoing struct {
	content []byte
	taken   atomic.Int64 // bytes that have been read of it to be sent
}

func (o *outgoing) open() io.ReadCloser {
	o.taken.Store(0)
	return &outgoingReader{out: o, rest: bytes.NewReader(o.content)}
}

// complete reports whether all of it has been on its way.
func (o *outgoing) complete() bool { return o.taken.Load() >= int64(len(o.content)) }

type outgoingReader struct {
	out  *outgoing
	rest *bytes.Reader
}

func (r *outgoingReader) Read(p []byte) (int, error) {
	n, err := r.rest.Read(p)
	r.out.taken.Add(int64(n))
	return n, err
}

func (r *outgoingReader) Close() error { return nil }
