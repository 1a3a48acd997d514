package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
)

// simulatedTransportFlags say how the trackers reach the server.
func simulatedTransportFlags(o *simulate.Options) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "transport", Value: string(o.Transport), Usage: "tcp, udp or tls"},
		&cli.FloatFlag{Name: "loss", Destination: &o.Loss,
			Usage: "`share` of the datagrams that are lost, in each direction (udp)"},
		&cli.FloatFlag{Name: "duplicate", Destination: &o.Duplicate, Usage: "`share` of the others that arrive twice"},
		&cli.FloatFlag{Name: "reorder", Destination: &o.Reorder, Usage: "`share` of these that arrive late"},
		&cli.DurationFlag{Name: "reorder-delay", Destination: &o.ReorderDelay, Value: o.ReorderDelay,
			Usage: "by up to this time"},
		&cli.StringFlag{Name: "tls-ca", Usage: "trust the CAs in this PEM `file` (default: the system's)"},
		&cli.BoolFlag{Name: "tls-insecure", Usage: "trust any certificate"},
		&cli.StringFlag{Name: "tls-server-name",
			Usage: "`name` that the certificate must have (default: the address's host)"},
		&cli.StringFlag{Name: "tls-min-version",
			Usage: "1.0, 1.1, 1.2 or 1.3 (default: 1.2, or tls-max-version if that is lower)"},
		&cli.StringFlag{Name: "tls-max-version", Usage: "1.0, 1.1, 1.2 or 1.3 (default: 1.3)"},
		&cli.StringFlag{Name: "tls-cert", Usage: "all trackers' certificate, a PEM `file`"},
		&cli.StringFlag{Name: "tls-key", Usage: "and its key, a PEM `file`"},
		&cli.BoolFlag{Name: "tls-resume", Value: true,
			Usage: "a tracker resumes its TLS session when it reconnects; =false: every handshake is a full one"},
	}
}

func setTransportOptions(o *simulate.Options, cmd *cli.Command) error {
	o.Transport = simulate.Transport(cmd.String("transport"))
	if o.Transport != simulate.TLS {
		return refuseOthers(o.Transport, cmd)
	}
	var err error
	o.TLS, err = simulatedTLS(cmd)
	return err
}

// refuseOthers refuses the flags of other transports, so that nobody believes to have tested TLS, or commands over UDP.
func refuseOthers(transport simulate.Transport, cmd *cli.Command) error {
	var errs []error
	for _, name := range cmd.LocalFlagNames() {
		if strings.HasPrefix(name, "tls-") || transport == simulate.UDP && strings.HasPrefix(name, "command-") {
			errs = append(errs, fmt.Errorf("%s: has no meaning, the transport is %s", name, transport))
		}
	}
	return errors.Join(errs...)
}

// simulatedTLS reads the flags and the files that they name. The error names all that are wrong.
func simulatedTLS(cmd *cli.Command) (*tls.Config, error) {
	c := &tls.Config{
		ServerName:             cmd.String("tls-server-name"),
		InsecureSkipVerify:     cmd.Bool("tls-insecure"),
		SessionTicketsDisabled: !cmd.Bool("tls-resume"),
	}
	var errs []error
	for flag, version := range map[string]*uint16{"tls-min-version": &c.MinVersion, "tls-max-version": &c.MaxVersion} {
		name, known := cmd.String(flag), false
		if *version, known = tlsVersions[name]; name != "" && !known {
			errs = append(errs, fmt.Errorf("%s: %q, expected 1.0, 1.1, 1.2 or 1.3", flag, name))
		}
	}
	if c.MinVersion == 0 && c.MaxVersion != 0 { // as little as is left
		c.MinVersion = min(tls.VersionTLS12, c.MaxVersion)
	}
	if c.MaxVersion != 0 && c.MinVersion > c.MaxVersion {
		errs = append(errs, errors.New("tls-min-version: is above tls-max-version"))
	}
	if path := cmd.String("tls-ca"); path != "" {
		var err error
		if c.RootCAs, err = readCAs(path); err != nil {
			errs = append(errs, fmt.Errorf("tls-ca: %w", err))
		}
		if c.InsecureSkipVerify {
			errs = append(errs, errors.New("tls-insecure: any certificate would do, whatever tls-ca says"))
		}
	}
	switch cert, key := cmd.String("tls-cert"), cmd.String("tls-key"); {
	case (cert == "") != (key == ""):
		errs = append(errs, errors.New("tls-cert and tls-key: one without the other"))
	case cert != "":
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls-cert and tls-key: %w", err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, errors.Join(errs...)
}

func readCAs(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return pool, nil
}
