package dictionary

import "git.dev.trmtracking.org/trm/tcp-ingestion/meaning"

// Units are those of all signals, by name.
func Units(d *meaning.Dictionary) map[string]string {
	units := map[string]string{}
	for row := range d.Definitions() {
		units[row.Name] = row.Unit
	}
	for own := range d.Overrides() {
		units[own.Name] = own.Unit
	}
	return units
}
