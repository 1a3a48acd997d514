package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// familyFlags say what devices are, where the elements mean something else on others.
func familyFlags(of string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "family", Usage: of + " this family: " + familyNames(), Local: true},
		&cli.StringFlag{Name: "model", Usage: of + " this model, such as FMC130", Local: true},
	}
}

func familyNames() string {
	var names []string
	for _, f := range meaning.Families() {
		names = append(names, f.String())
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// identityOf is what familyFlags say, the zero value if they say nothing.
func identityOf(cmd *cli.Command) (i meaning.Identity, err error) {
	family, model := cmd.String("family"), cmd.String("model")
	if cmd.IsSet("family") {
		if i.Family, err = meaning.ParseFamily(family); err != nil {
			return i, wrongFlag(cmd, "--family %q: use %s", family, familyNames())
		}
		i.By = meaning.ByMap
	}
	if !cmd.IsSet("model") {
		return i, nil
	}
	own := meaning.FamilyOfModel(model)
	switch {
	case !isModelName(model):
		return i, wrongFlag(cmd, "--model %q: use a name such as FMC130, of %d letters, digits, - and _ at most", model,
			meaning.MaxModel)
	case i.Family == 0 && own == 0:
		return i, wrongFlag(cmd, "--model %q is of no known family: add --family, which is %s", model, familyNames())
	case i.Family != 0 && own != 0 && own != i.Family:
		return i, wrongFlag(cmd, "--model %s is of the family %v, not %v: leave out --family", model, own, i.Family)
	case i.Family == 0:
		i.Family = own
	}
	i.Model, i.By = strings.ToUpper(model), meaning.ByMap
	return i, nil
}

func isModelName(s string) bool {
	return s != "" && len(s) <= meaning.MaxModel &&
		strings.Trim(strings.ToUpper(s), "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// wrongFlag is the error of a flag whose value cannot be used.
func wrongFlag(cmd *cli.Command, format string, args ...any) error {
	return cli.Exit(fmt.Sprintf(format, args...)+"; see "+cmd.FullName()+" --help", exitUsage)
}

// overridesSetting is the only one that a command has that needs nothing but the dictionary.
const overridesSetting = "DICTIONARY_OVERRIDES"

// dictionaryOf is the dictionary with the definitions of overridesSetting. It does without the other settings, which
// may be wrong.
func dictionaryOf(ctx context.Context, cmd *cli.Command) (*meaning.Dictionary, error) {
	values := gatherSettings(cmd, nil)
	if err := values.FileError(); err != nil {
		return nil, cli.Exit(err, exitSettings)
	}
	path := values.Of(overridesSetting).Value
	if path == "" {
		return meaning.Embedded(), nil
	}
	d, err := device.NewOverrides(path).Read(ctx, false)
	if err = invalidFile(overridesSetting, path, err); err != nil {
		return nil, cli.Exit(err.Error(), exitSettings)
	}
	return d, nil
}
