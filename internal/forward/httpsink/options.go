package httpsink

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tlsclient"
)

// Options say where records go, and how.
type Options struct {
	URL     string // http or https, without a user
	Gzip    bool
	Timeout time.Duration // of one request, from connecting to the end of its answer

	Key    secret.Text // signs each request; see the package's documentation
	Token  secret.Text // of the header Authorization: Bearer
	Header string      // one more header, as "Name: value"; empty: none

	TLS tlsclient.Files
}

// keyPrefix marks a key that stands in base64, as Standard Webhooks writes it.
const keyPrefix = "whsec_"

// key is nil if nothing is signed.
func (o *Options) key() ([]byte, error) {
	text, err := o.Key.Read()
	if encoded, ok := strings.CutPrefix(text, keyPrefix); ok && err == nil {
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) == 0 {
			return nil, errors.New("the key begins with " + keyPrefix + " and goes on with no base64")
		}
		return key, nil
	}
	return []byte(text), err
}

// header is the additional header, two empty texts if there is none.
func (o *Options) header() (name, value string, err error) {
	if o.Header == "" {
		return "", "", nil
	}
	name, value, ok := strings.Cut(o.Header, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" || strings.ContainsFunc(name, notInName) || strings.ContainsFunc(value, notInValue) {
		return "", "", errors.New("the additional header is not as in Name: value") // which may be secret
	}
	return name, value, nil
}

func notInName(r rune) bool {
	alphanumeric := '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z'
	return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func notInValue(r rune) bool { return r < ' ' && r != '\t' || r > '~' }

// check says what is wrong, each with its *forward.OptionError, beside what is with the files of TLS.
func (o *Options) check(tlsErr error) error {
	var urlErr error
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		urlErr = errors.New("the address is not as in https://host/path") // which may have a token in it
	}
	_, keyErr := o.key()
	token, tokenErr := o.Token.Read()
	if strings.ContainsFunc(token, notInValue) {
		tokenErr = errors.New("the token has characters that no header takes")
	}
	_, _, headerErr := o.header()
	return errors.Join(forward.WrongOption("URL", urlErr), forward.WrongOption("Key", keyErr),
		forward.WrongOption("Token", tokenErr), forward.WrongOption("Header", headerErr), forward.WrongOption("TLS", tlsErr))
}
