package config

import "slices"

// File is the name of the setting with the path of a file that holds this one, which is a secret.
func (s *Setting) File() string { return s.Name + "_FILE" }

// withFiles puts behind each secret the setting that names a file with it, where it has none of its own.
func withFiles(settings []Setting) (all []Setting) {
	for _, s := range settings {
		i := slices.IndexFunc(settings, func(other Setting) bool { return s.Secret && other.Name == s.File() })
		s.readAgain = i >= 0
		all = append(all, s)
		if s.Secret && !s.readAgain {
			all = append(all, Setting{Name: s.File(), SecretFile: true, OfSecret: s.Name,
				Help: "file with " + s.Name + " in its first line",
				set:  func(*Config, string) error { return nil }}) // Values read it
		}
	}
	return all
}
