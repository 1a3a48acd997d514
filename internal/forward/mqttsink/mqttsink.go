// Package mqttsink publishes records to an MQTT broker, 5 or 3.1.1, at QoS 1. It waits for each acknowledgement.
//
// The records of a device go one after the other: the next one is sent when the one before is acknowledged. So a broker
// that refuses one, or a connection that ends, never lets a later one overtake it. Those of other devices are in flight
// beside it, up to a number.
package mqttsink

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tlsclient"
)

// The versions of MQTT, values of Options.Version.
const (
	Version311 = 4
	Version5   = 5
)

// Options say where records go, and how.
type Options struct {
	URL      string // mqtt://host:1883, or mqtts://host:8883 for TLS; without a user
	Version  byte   // Version5 or Version311
	ClientID string
	User     string // empty: nobody
	Password secret.Text
	Topic    string // with {device_id}, {codec} and {family} in it
	Retain   bool   // the broker keeps the last message of each topic
	InFlight int    // publications that wait for their acknowledgement at once, 1 at least
	Timeout  time.Duration
	TLS      tlsclient.Files
}

// Sink is a forward.Sink.
type Sink struct {
	options Options
	address string
	tls     *tls.Config // nil: none
	topic   template
	refuse  forward.Refuse

	conn *connection // nil: none
	done progress
}

// New makes a sink, which connects when there is something to deliver. What the broker refuses for good goes to refuse.
// The error joins an *forward.OptionError for each option that is wrong.
func New(o Options, refuse forward.Refuse) (*Sink, error) {
	s := &Sink{options: o, refuse: refuse}
	var urlErr, tlsErr, topicErr error
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "mqtt" && u.Scheme != "mqtts" || u.Hostname() == "" || u.User != nil ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		urlErr = errors.New("the address is not as in mqtt://host:1883 or mqtts://host:8883")
	} else {
		port := u.Port()
		if port == "" {
			port = map[string]string{"mqtt": "1883", "mqtts": "8883"}[u.Scheme]
		}
		s.address = net.JoinHostPort(u.Hostname(), port)
	}
	if urlErr == nil && u.Scheme == "mqtts" {
		s.tls, tlsErr = o.TLS.Config()
	}
	s.topic, topicErr = parseTemplate(o.Topic)
	_, passwordErr := o.Password.Read()
	return s, errors.Join(forward.WrongOption("URL", urlErr), forward.WrongOption("TLS", tlsErr),
		forward.WrongOption("Topic", topicErr), forward.WrongOption("Password", passwordErr))
}

// Close implements forward.Sink.
func (s *Sink) Close() error {
	if s.conn != nil {
		s.conn.bye()
		s.conn = nil
	}
	return nil
}

// Deliver implements forward.Sink.
func (s *Sink) Deliver(ctx context.Context, batch []forward.Item) error {
	s.done.begin(batch)
	if err := s.connected(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.conn.close)
	defer stop()
	d := newDelivery(s, batch)
	err := d.run()
	if err != nil {
		s.conn.close()
		<-s.conn.ended
		s.conn = nil
	}
	switch {
	case err == nil && d.refused == nil:
		s.done = progress{}
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case d.refused != nil: // it may be why the connection has ended
		return d.refused
	}
	return err
}

// connected connects unless there is a connection that has not ended.
func (s *Sink) connected(ctx context.Context) (err error) {
	if s.conn != nil {
		select {
		case <-s.conn.ended:
			s.conn = nil
		default:
			return nil
		}
	}
	s.conn, err = s.connect(ctx)
	return err
}

// progress is what is done of a batch that is tried again.
type progress struct {
	batch string          // which one it is
	ids   map[string]bool // of its records that are delivered or put aside
}

func (p *progress) begin(batch []forward.Item) {
	if which := forward.BatchName(batch); which != p.batch {
		*p = progress{batch: which, ids: make(map[string]bool)}
	}
}
