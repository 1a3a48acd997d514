package tlsserver

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Severity says how bad a problem is.
type Severity string

// An error keeps devices out; a warning may keep out some, or will in time.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// The codes of problems.
const (
	CodeUnreachable    = "unreachable"
	CodeNotTLS         = "not_tls"
	CodeHandshake      = "handshake"
	CodeFile           = "file"
	CodeExpired        = "expired"
	CodeExpiresSoon    = "expires_soon"
	CodeNotYetValid    = "not_yet_valid"
	CodeChainOrder     = "chain_order"
	CodeChainGap       = "chain_gap"
	CodeChainSignature = "chain_signature"
	CodeRootSent       = "root_sent"
	CodeUntrusted      = "untrusted"
	CodeName           = "name"
	CodeUsage          = "usage"
	CodeWeakKey        = "weak_key"
	CodeRareKey        = "rare_key"
	CodeVersion        = "version"
	CodeSuites         = "suites"
)

// Problem is something wrong with a server's TLS, and what to do.
type Problem struct {
	Severity Severity
	Code     string
	What     string
	Remedy   string
}

// expiresSoon is when a certificate that nobody has renewed is worth a warning.
const expiresSoon = 21 * 24 * time.Hour

// inspect looks at a chain as a device with a strict TLS stack does: the server's certificate, and each certificate's
// issuer behind it.
func inspect(chain []*x509.Certificate, now time.Time) []Problem {
	var all []Problem
	for i, c := range chain {
		all = append(all, inspectDates(c, now)...)
		if i+1 < len(chain) {
			all = append(all, inspectIssuer(chain, i)...)
		}
	}
	last := chain[len(chain)-1]
	if len(chain) > 1 && isSelfSigned(last) {
		all = append(all, Problem{Warning, CodeRootSent, "the root " + nameOf(last) + " is part of the chain",
			"leave it out: the device has it, and pays for it in every handshake"})
	}
	return append(all, inspectLeaf(chain[0])...)
}

func inspectDates(c *x509.Certificate, now time.Time) []Problem {
	switch left := c.NotAfter.Sub(now); {
	case left < 0:
		return []Problem{{Error, CodeExpired, nameOf(c) + " expired on " + day(c.NotAfter), "renew it"}}
	case now.Before(c.NotBefore):
		return []Problem{{Error, CodeNotYetValid, nameOf(c) + " is not valid before " +
			c.NotBefore.UTC().Format(time.RFC3339),
			"wait, or check the server's clock"}}
	case left < expiresSoon && left < c.NotAfter.Sub(c.NotBefore)/3:
		return []Problem{{Warning, CodeExpiresSoon,
			fmt.Sprintf("%s expires on %s, in %.1f days", nameOf(c), day(c.NotAfter), left.Hours()/24),
			"renew it, and see why that did not happen by itself"}}
	}
	return nil
}

// inspectIssuer looks whether the next certificate has issued the i-th.
func inspectIssuer(chain []*x509.Certificate, i int) []Problem {
	c, next := chain[i], chain[i+1]
	if issued(next, c) {
		var weak x509.InsecureAlgorithmError
		if err := c.CheckSignatureFrom(next); err != nil && !errors.As(err, &weak) {
			return []Problem{{Error, CodeChainSignature,
				fmt.Sprintf("%s is not signed by the %s of the chain: %v", nameOf(c), nameOf(next), err),
				"take the issuer's certificate that belongs to this one; it may have been renewed with a new key"}}
		}
		return nil
	}
	for _, other := range chain {
		if other != c && issued(other, c) {
			return []Problem{{Error, CodeChainOrder, "the issuer of " + nameOf(c) + " is not right behind it in the chain",
				"sort the file: the server's certificate, its issuer, that one's issuer"}}
		}
	}
	return []Problem{{Error, CodeChainGap,
		fmt.Sprintf("%s is followed by %s, which is not its issuer %q", nameOf(c), nameOf(next), c.Issuer),
		"put the issuer's certificate behind it, and take out what does not belong to the chain"}}
}

func inspectLeaf(leaf *x509.Certificate) (all []Problem) {
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 {
			all = append(all, Problem{Warning, CodeWeakKey, fmt.Sprintf("the key is RSA with %d bits", bits),
				"use ECDSA P-256 or RSA with 2048 bits"})
		}
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits != 256 {
			all = append(all, Problem{Warning, CodeRareKey,
				fmt.Sprintf("the key is on a curve of %d bits, which many modems lack", bits), "use P-256"})
		}
	case ed25519.PublicKey:
		all = append(all, Problem{Warning, CodeRareKey, "the key is Ed25519, which hardly any modem can verify",
			"use ECDSA P-256 or RSA with 2048 bits"})
	}
	if !mayServe(leaf) {
		all = append(all, Problem{Error, CodeUsage, nameOf(leaf) +
			" is not for servers: its extended key usage lacks serverAuth", "have a server certificate issued"})
	}
	return all
}

// mayServe reports whether the extended key usage, if there is any, includes servers.
func mayServe(c *x509.Certificate) bool {
	for _, usage := range c.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth || usage == x509.ExtKeyUsageAny {
			return true
		}
	}
	return len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0
}

// issued reports whether the certificate names the other as its issuer.
func issued(issuer, c *x509.Certificate) bool { return bytes.Equal(issuer.RawSubject, c.RawIssuer) }

func isSelfSigned(c *x509.Certificate) bool { return issued(c, c) }

func nameOf(c *x509.Certificate) string { return fmt.Sprintf("certificate %q", c.Subject) }

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
