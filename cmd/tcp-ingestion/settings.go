package main

import (
	"cmp"
	"os"
	"slices"
	"strconv"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// settingFlags are the settings as flags, all or those named. Values are text until config.Load, which finds
// everything that is wrong with them at once.
func settingFlags(only ...string) []cli.Flag { return settingFlagsWith(nil, only...) }

// settingFlagsWith are those of a command that stands other values in for what is not set; see loadSettings.
func settingFlagsWith(overrides map[string]string, only ...string) []cli.Flag {
	flags := []cli.Flag{configFlag(len(only) == 0)}
	for _, s := range config.Settings {
		if len(only) > 0 && !slices.Contains(only, s.Name) && !slices.Contains(only, s.OfSecret) {
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

// configFlag names the file of settings.
func configFlag(grouped bool) cli.Flag {
	group := "Settings"
	if grouped {
		group = "Process"
	}
	return &cli.StringFlag{
		Name: config.FileFlag, TakesFile: true, Category: group,
		Usage: "YAML file of settings, by their names in the environment; environment and flags win over it [$" +
			config.FileVariable + "]",
	}
}

// besideTheService are the settings of commands that run beside the service: they keep quiet.
var besideTheService = map[string]string{"LOG_LEVEL": "warn"}

// loadSettings reads flags, environment and file, of which the first that has a setting wins. overrides stand in for
// what none sets.
func loadSettings(cmd *cli.Command, overrides map[string]string) (*config.Config, error) {
	return inForce(gatherSettings(cmd, overrides))
}

// inForce is what the values mean. The error has an exit code.
func inForce(values *config.Values) (*config.Config, error) {
	c, err := values.Load()
	if err != nil {
		return nil, cli.Exit(err, exitSettings)
	}
	return c, nil
}

// gatherSettings are the settings as they stand, right or wrong.
func gatherSettings(cmd *cli.Command, overrides map[string]string) *config.Values {
	path := os.Getenv(config.FileVariable)
	if cmd.IsSet(config.FileFlag) {
		path = cmd.String(config.FileFlag)
	}
	var file *config.File
	if path != "" {
		file = config.ReadFile(path)
	}
	return config.Gather(file, overrides, flagsOf(cmd), config.Environment(os.LookupEnv))
}

// flagsOf has the settings that are given as flags. One that is given empty is back at its default.
func flagsOf(cmd *cli.Command) config.Source {
	return func(s *config.Setting) (config.Found, bool) {
		if !cmd.IsSet(s.Flag()) {
			return config.Found{}, false
		}
		value := cmd.String(s.Flag())
		if s.Bool {
			value = strconv.FormatBool(cmd.Bool(s.Flag()))
		}
		return config.Found{Value: value, From: "--" + s.Flag()}, true
	}
}
