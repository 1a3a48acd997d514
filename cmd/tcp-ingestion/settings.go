package main

import (
	"os"
	"slices"
	"strconv"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// settingFlags are the settings as flags, all or those named. Values are text until config.Load, which finds
// everything that is wrong with them at once.
func settingFlags(only ...string) []cli.Flag {
	var flags []cli.Flag
	for _, s := range config.Settings {
		if len(only) > 0 && !slices.Contains(only, s.Name) {
			continue
		}
		usage := s.Help + " [$" + s.Name + "]"
		if s.Bool {
			flags = append(flags, &cli.BoolFlag{Name: s.Flag(), Usage: usage, HideDefault: true})
		} else {
			flags = append(flags, &cli.StringFlag{Name: s.Flag(), Usage: usage, DefaultText: s.Default, HideDefault: s.Default == ""})
		}
	}
	return flags
}

// engineSettings are those of the commands that only talk to the engine.
var engineSettings = []string{"ENGINE", "DATA_DIR", "REDIS_URL", "REDIS_TELEMETRY_STREAM", "LOG_LEVEL", "LOG_FORMAT"}

// loadSettings reads flags and environment; a flag wins. overrides stand in for what neither sets.
func loadSettings(cmd *cli.Command, overrides map[string]string) (*config.Config, error) {
	values := make(map[string]string)
	for _, s := range config.Settings {
		switch {
		case !cmd.IsSet(s.Flag()):
			values[s.Name] = os.Getenv(s.Name)
		case s.Bool:
			values[s.Name] = strconv.FormatBool(cmd.Bool(s.Flag()))
		default:
			values[s.Name] = cmd.String(s.Flag())
		}
		if values[s.Name] == "" {
			values[s.Name] = overrides[s.Name]
		}
	}
	c, err := config.Load(func(name string) string { return values[name] })
	if err != nil {
		return nil, cli.Exit(err.Error(), exitSettings)
	}
	return c, nil
}
