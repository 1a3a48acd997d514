package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tlsclient"
)

// TLS says how the connections are encrypted.
type TLS struct {
	On       bool
	CAFile   string // PEM; empty: the system's authorities
	CertFile string // PEM, with KeyFile; empty: no certificate of our own
	KeyFile  string
}

// SASL says who we are. No mechanism: nobody is told.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER
	User      string
	Password  string // never log it
	TokenFile string // of OAUTHBEARER; read again for each connection
}

// A broker that does not answer is given up after requestTimeout, and a write after that and produceTimeout: the client
// then asks who leads the partition now and writes there. The broker answers a write that lacks replicas after
// produceTimeout.
const (
	dialTimeout    = 3 * time.Second
	requestTimeout = 4 * time.Second
	produceTimeout = 4 * time.Second

	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second

	// metadataAge is how old the client's view of the brokers may get. It asks at once when one of them fails.
	metadataAge    = 30 * time.Second
	metadataMinAge = 100 * time.Millisecond
)

// connection are the options of every client: of the one that writes and of those that read.
func (o *Options) connection() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...), kgo.ClientID(o.ClientID), kgo.DisableClientMetrics(),
		kgo.DialTimeout(dialTimeout), kgo.RequestTimeoutOverhead(requestTimeout),
		kgo.MetadataMaxAge(metadataAge), kgo.MetadataMinAge(metadataMinAge),
		kgo.RetryBackoffFn(func(tries int) time.Duration { return min(firstBackoff<<min(tries, 5), lastBackoff) }),
	}
	if o.TLS.On {
		config, err := o.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	mechanism, err := o.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// Check says what is wrong with the files, nil if nothing is.
func (t TLS) Check() error {
	if !t.On {
		return nil
	}
	_, err := t.config()
	return err
}

func (t TLS) config() (*tls.Config, error) {
	return tlsclient.Files{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile}.Config()
}

// mechanism is nil if there is none.
func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		if s.TokenFile == "" {
			return nil, errors.New("OAUTHBEARER needs a file with the token")
		}
		return oauth.Oauth(s.token), nil
	}
	return nil, fmt.Errorf("the mechanism %q is not known", s.Mechanism)
}

func (s SASL) token(context.Context) (oauth.Auth, error) {
	text, err := os.ReadFile(s.TokenFile)
	return oauth.Auth{Token: strings.TrimSpace(string(text))}, err
}

var codecs = map[string]kgo.CompressionCodec{
	"": kgo.ZstdCompression(), "zstd": kgo.ZstdCompression(), "none": kgo.NoCompression(),
	"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(),
}

// writing are the options of the client that writes. None of them gives a write up: no timeout, no number of attempts.
func (e *Engine) writing() ([]kgo.Opt, error) {
	codec, known := codecs[e.opt.Compression]
	if !known {
		return nil, fmt.Errorf("the compression %q is not known", e.opt.Compression)
	}
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(codec, kgo.NoCompression()),
		kgo.ProducerBatchMaxBytesFn(e.batchBytes), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProduceRequestTimeout(produceTimeout), kgo.UnknownTopicRetries(-1), kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(1 << 30), // each lane has one batch on its way, which bounds them
		kgo.ProducerOnDataLossDetected(e.noteLoss),
	}, nil
}

// The broker's default for what one write to a partition may take, and the client's own bounds.
const (
	usualBatchBytes    = 1_048_588
	smallestBatchBytes = 1 << 10
	largestBatchBytes  = 64 << 20
)

// batchBytes is what the topic takes at once, before compression, so that the broker never refuses a batch for its size
// because of one item in it. The client asks once for each partition.
func (e *Engine) batchBytes(topic string) int32 {
	if l := e.layout.Load(); l != nil {
		for k, name := range e.topics {
			if name == topic {
				return l.topics[k].batchBytes()
			}
		}
	}
	return usualBatchBytes
}

// noteLoss counts that the broker no longer has what it had acknowledged to this client.
func (e *Engine) noteLoss(topic string, partition int32) {
	e.losses.Add(1)
	e.log.Error("kafka has lost records that it had acknowledged", "topic", topic, "partition", partition)
}
