package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"
)

// selection says which of the stored records or messages a command is about: all of them, unless it says less.
type selection struct {
	devices []string
	since   time.Time // received then or later
}

func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "imei", Usage: "only what this device has sent; may be given several times"},
		&cli.StringFlag{Name: "since", Usage: "only what was received since then: a time such as 2026-11-22T11:00:00Z, " +
			"or how long ago, such as 90m"},
	}
}

func readSelection(cmd *cli.Command) (s selection, err error) {
	s.devices = cmd.StringSlice("imei")
	for _, d := range s.devices {
		if !isDeviceID(d) {
			return s, cli.Exit(fmt.Sprintf("--imei %q: %s", d, useDeviceID), exitUsage)
		}
	}
	text := cmd.String("since")
	if text == "" {
		return s, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		s.since = time.Now().Add(-ago)
		return s, nil
	}
	if s.since, err = time.Parse(time.RFC3339, text); err != nil {
		return s, cli.Exit(fmt.Sprintf("--since %q: use a time such as 2026-11-22T11:00:00Z, or how long ago, such as 90m",
			text), exitUsage)
	}
	return s, nil
}

func (s *selection) wants(device string, received time.Time) bool {
	return (len(s.devices) == 0 || slices.Contains(s.devices, device)) && !received.Before(s.since)
}

// wantsRecord looks into a record's document. What is none is wanted only when everything is.
func (s *selection) wantsRecord(payload []byte) bool {
	if len(s.devices) == 0 && s.since.IsZero() {
		return true
	}
	var r struct {
		DeviceID   string    `json:"device_id"`
		ReceivedAt time.Time `json:"received_at"`
	}
	return json.Unmarshal(payload, &r) == nil && s.wants(r.DeviceID, r.ReceivedAt)
}
