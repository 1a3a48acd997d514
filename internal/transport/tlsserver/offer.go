package tlsserver

import (
	"crypto/rsa"
	"crypto/tls"
	"slices"
	"strings"
)

// compare finds out why device and server could not agree.
func (cr *credentials) compare(minVersion uint16, o *offer, err error) *HandshakeError {
	has := func(text string) bool { return strings.Contains(err.Error(), text) }
	switch {
	case o == nil:
		return &HandshakeError{Reason: ReasonOther, Cause: "the device's first message is no sound TLS hello"}
	case !slices.ContainsFunc(o.versions, func(v uint16) bool { return v >= minVersion && v <= tls.VersionTLS13 }):
		return &HandshakeError{Reason: ReasonUnsupportedVersion, Cause: "the device offers " + versionNames(o.versions) +
			", and the minimum here is " + tls.VersionName(minVersion)}
	case !cr.agrees(o):
		return &HandshakeError{Reason: ReasonNoSharedCipher, Cause: cr.noSuite(o)}
	case has("signature algorithms"), has("signature_algorithms"):
		return &HandshakeError{Reason: ReasonNoSharedCipher,
			Cause: "the device cannot verify signatures of our certificate's key"}
	case has("no cipher suite"), has("no key exchanges"), has("point formats"):
		return &HandshakeError{Reason: ReasonNoSharedCipher,
			Cause: "the device offers no key exchange or curve of ours for the suites in common"}
	}
	return &HandshakeError{Reason: ReasonOther, Cause: "the device's TLS stack broke the protocol"}
}

// agrees reports whether a suite of the device's is one of ours that fits the certificate.
func (cr *credentials) agrees(o *offer) bool {
	_, isRSA := cr.leaf.PublicKey.(*rsa.PublicKey)
	return slices.ContainsFunc(o.suites, func(id uint16) bool {
		if isTLS13(id) {
			return slices.Contains(o.versions, tls.VersionTLS13)
		}
		return slices.Contains(suites, id) && needsECDSA(id) != isRSA
	})
}

func isTLS13(suite uint16) bool { return suite >= 0x1301 && suite <= 0x1303 }

// noSuite says which suites the device offers in vain.
func (cr *credentials) noSuite(o *offer) string {
	for _, id := range o.suites {
		if slices.Contains(suites, id) {
			if needsECDSA(id) {
				return "the device offers only suites for ECDSA certificates, and ours is of another key"
			}
			return "the device offers only suites for RSA certificates, and ours is of another key"
		}
	}
	return "the device offers no suite of ours: " + suiteNames(o.suites)
}

// manySuites is how many of a device's suites are named.
const manySuites = 12

func suiteNames(ids []uint16) string {
	var names []string
	for _, id := range ids[:min(len(ids), manySuites)] {
		names = append(names, tls.CipherSuiteName(id))
	}
	if len(ids) > manySuites {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

func versionNames(versions []uint16) string {
	if len(versions) == 0 {
		return "no known version"
	}
	var names []string
	for _, v := range versions[:min(len(versions), manySuites)] {
		names = append(names, tls.VersionName(v))
	}
	return strings.Join(names, ", ")
}
