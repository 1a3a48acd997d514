package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	neturl "net/url"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

// healthcheckTimeout is how long /healthz may take; it does no work.
const healthcheckTimeout = 3 * time.Second

func healthcheckCommand() *cli.Command {
	return &cli.Command{
		Name:  "healthcheck",
		Usage: "ask a running server on this machine whether it is alive",
		Description: "For container images, which hold no other client. Exit codes: 0 /healthz answers, 1 it does not,\n" +
			"78 wrong settings. It says nothing of the engine: /readyz does.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "url", Usage: "what to ask (default http://127.0.0.1:$METRICS_PORT/healthz)"},
			&cli.DurationFlag{Name: "timeout", Value: healthcheckTimeout, Usage: "how long it may take"},
			configFlag(false),
		},
		Action: healthcheck,
	}
}

func healthcheck(ctx context.Context, cmd *cli.Command) error {
	if timeout := cmd.Duration("timeout"); timeout <= 0 {
		return usageError(ctx, cmd, fmt.Errorf("--timeout %v: use more than 0", timeout), true)
	}
	url := cmd.String("url")
	u, err := neturl.Parse(url)
	if url != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return usageError(ctx, cmd, fmt.Errorf("--url %q: use one such as http://127.0.0.1:9090/healthz", url), true)
	}
	if url == "" {
		c, err := loadSettings(cmd, nil)
		if err != nil {
			return err
		}
		if c.MetricsPort == 0 {
			return cli.Exit("METRICS_PORT is 0, any free port: give the server's with --url http://127.0.0.1:PORT/healthz",
				exitSettings)
		}
		url = healthURL(c.MetricsPort)
	}
	ctx, cancel := context.WithTimeout(ctx, cmd.Duration("timeout"))
	defer cancel()
	if err := askHealth(ctx, url); err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	fmt.Fprintln(cmd.Root().Writer, "alive")
	return nil
}

// healthURL is /healthz of the server on this machine; its HTTP listener is on all addresses.
func healthURL(port int) string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "/healthz"
}

// askHealth is an error unless the address answers 200 before ctx ends. It opens a connection of its own each time,
// so that the listener takes part, and goes through no proxy.
func askHealth(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%w; is the server running, with the same METRICS_PORT?", noAnswer(url, err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return noAnswer(url, err)
	}
	if response.StatusCode != http.StatusOK {
		said := fmt.Sprintf("%s: %.200s", response.Status, bytes.TrimSpace(body))
		return fmt.Errorf("%s: %s", url, terminal.Line(said))
	}
	return nil
}
