package main

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// settingFlags are the settings as flags, all or those named. Values are text until config.Load, which finds
// everything that is wrong with them at once.
func settingFlags(only ...string) []cli.Flag { return settingFlagsWith(nil, only...) }

// settingFlagsWith are those of a command that stands other values in for what is not set; see loadSettings.
func settingFlagsWith(overrides map[string]string, only ...string) []cli.Flag {
	var flags []cli.Flag
	for _, s := range config.Settings {
		if len(only) > 0 && !slices.Contains(only, s.Name) {
			continue
		}
		usage, group := s.Help+" [$"+s.Name+"]", "Settings"
		if len(only) == 0 {
			group = s.Group()
		}
		if s.Bool {
			flags = append(flags, &cli.BoolFlag{
				Name: s.Flag(), Usage: usage, DefaultText: s.Default, HideDefault: s.Default != "true", Category: group,
			})
		} else {
			standard := cmp.Or(overrides[s.Name], s.Default)
			flags = append(flags, &cli.StringFlag{
				Name: s.Flag(), Usage: usage, DefaultText: standard, HideDefault: standard == "", Category: group,
			})
		}
	}
	return flags
}

// besideTheService are the settings of commands that run beside the service: they keep quiet.
var besideTheService = map[string]string{"LOG_LEVEL": "warn"}

// loadSettings reads flags and environment; a flag wins. overrides stand in for what neither sets.
func loadSettings(cmd *cli.Command, overrides map[string]string) (*config.Config, error) {
	values := make(map[string]string)
	for _, s := range config.Settings {
		value, set := os.LookupEnv(s.Name)
		switch {
		case !cmd.IsSet(s.Flag()):
		case s.Bool:
			value, set = strconv.FormatBool(cmd.Bool(s.Flag())), true
		default:
			value, set = cmd.String(s.Flag()), true
		}
		if set && strings.TrimSpace(value) == "" {
			value = s.IfEmpty
		}
		if value == "" {
			value = overrides[s.Name]
		}
		values[s.Name] = value
	}
	c, err := config.Load(func(name string) string { return values[name] })
	if err != nil {
		return nil, cli.Exit(err.Error(), exitSettings)
	}
	return c, nil
}
