package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
)

// tlsSettings are those that say which files a server has, and for whom.
var tlsSettings = []string{
	"TELTONIKA_PORT", "TLS_PORT", "TLS_DETECT", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "TLS_CLIENT_AUTH",
	"TLS_BIND_IMEI", "TLS_MIN_VERSION",
}

func checkTLSCommand() *cli.Command {
	return &cli.Command{
		Name:      "tls",
		Usage:     "look at a server's TLS as a device does, or at the files of the settings",
		ArgsUsage: "[HOST:PORT]",
		Description: "With an address it connects about ten times, logs nobody in, and says what chain, dates, names,\n" +
			"versions and suites a device finds there. Without, it looks at TLS_CERT_FILE, TLS_KEY_FILE and\n" +
			"TLS_CLIENT_CA_FILE. Devices trust what is uploaded to them, mostly a CA of one's own: give it as\n" +
			"--ca.\n" +
			"Exit codes: 0 devices can get in, perhaps with warnings, 1 they cannot, 2 wrong usage, 78 wrong\n" +
			"settings.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "server-name", Usage: "what the certificate has to be for (default the address's host)"},
			&cli.StringFlag{Name: "ca", Usage: "PEM file of what the devices trust (default this machine's authorities)"},
			&cli.StringFlag{Name: "cert", Usage: "PEM file of a device's certificate, for a server that asks for one"},
			&cli.StringFlag{Name: "key", Usage: "PEM file of its key"},
		}, settingFlags(tlsSettings...)...),
		Action:       checkTLS,
		OnUsageError: usageError,
	}
}

func checkTLS(ctx context.Context, cmd *cli.Command) error {
	o := tlsserver.CheckOptions{
		ServerName: cmd.String("server-name"), CAFile: cmd.String("ca"), CertFile: cmd.String("cert"),
		KeyFile: cmd.String("key"),
	}
	if err := checkTLSUsage(cmd, o); err != nil {
		return usageError(ctx, cmd, err, true)
	}
	if address := cmd.Args().First(); address != "" {
		return judge(cmd.Root().Writer, tlsserver.Check(ctx, address, o), exitUsage)
	}
	c, err := loadSettings(cmd, nil)
	if err != nil {
		return err
	}
	if !c.TLS() {
		return cli.Exit("no TLS in the settings: set TLS_PORT or TLS_DETECT, or give the address of a server", exitSettings)
	}
	return judge(cmd.Root().Writer, tlsserver.CheckFiles(c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile, o), exitSettings)
}

func checkTLSUsage(cmd *cli.Command, o tlsserver.CheckOptions) error {
	address := cmd.Args().First()
	switch {
	case cmd.Args().Len() > 1:
		return fmt.Errorf("unexpected argument %q", cmd.Args().Get(1))
	case (o.CertFile == "") != (o.KeyFile == ""):
		return fmt.Errorf("--cert and --key belong together")
	case address == "" && o.CertFile != "":
		return fmt.Errorf("--cert is shown to a server: give its address")
	case address == "":
		return nil
	}
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return fmt.Errorf("address %q is not host:port", address)
	}
	return nil
}

// judge prints the report. unreadable is the exit code for files that cannot be used.
func judge(out io.Writer, r *tlsserver.Report, unreadable int) error {
	if _, err := r.WriteTo(out); err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	switch {
	case r.Has(tlsserver.CodeFile):
		return cli.Exit("files cannot be used", unreadable)
	case !r.OK():
		return cli.Exit("devices cannot get in", exitFailure)
	}
	return nil
}

// checkCertificate tells what the server would show to devices, whatever they trust. The files have been loaded
// before.
func checkCertificate(c *config.Config, r *checkReport) error {
	if !c.TLS() {
		return nil
	}
	found := tlsserver.CheckFiles(c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile, tlsserver.CheckOptions{
		CAFile: c.TLSCertFile, // so that the chain is not held against authorities that devices may have nothing to do with
	})
	tell := func(name, value string) { r.fact("tls", name+" "+value) }
	for _, f := range found.Facts {
		if strings.HasPrefix(f.Name, "certificate ") && f.Name != "certificate file" || f.Name == "names" {
			tell(f.Name, f.Value)
			tell = r.below
		}
	}
	for _, p := range found.Problems {
		r.problem(p.Severity, p.What+"; "+p.Remedy)
	}
	if !found.OK() {
		return cli.Exit("TLS_CERT_FILE: devices that look at their server's certificate cannot get in", exitFailure)
	}
	return nil
}
