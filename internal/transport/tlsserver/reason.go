package tlsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// Reason says why a handshake failed. It is a metric's label, so the set is closed.
type Reason string

// The reasons.
const (
	ReasonUntrustedCA        Reason = "untrusted_ca"        // the device says that it cannot verify our certificate
	ReasonExpired            Reason = "expired"             // the device says that our certificate has expired
	ReasonPlainData          Reason = "plain_data"          // what came is not TLS
	ReasonUnsupportedVersion Reason = "unsupported_version" // no TLS version in common
	ReasonNoSharedCipher     Reason = "no_shared_cipher"    // no cipher suite, curve or signature algorithm in common
	ReasonClientCertificate  Reason = "client_certificate"  // the device's certificate is missing or not accepted
	ReasonClosed             Reason = "closed"              // the device closed without giving a reason
	ReasonReset              Reason = "reset"               // the connection was reset
	ReasonTimeout            Reason = "timeout"             // the device was not done in time
	ReasonBusy               Reason = "busy"                // the server did not come to it in time
	ReasonShutdown           Reason = "shutdown"            // the server is stopping
	ReasonIO                 Reason = "io"                  // another failure of the socket
	ReasonOther              Reason = "other"               // what a sound TLS stack does not send
)

// Reasons are all of them.
var Reasons = []Reason{
	ReasonUntrustedCA, ReasonExpired, ReasonPlainData, ReasonUnsupportedVersion, ReasonNoSharedCipher,
	ReasonClientCertificate, ReasonClosed, ReasonReset, ReasonTimeout, ReasonBusy, ReasonShutdown, ReasonIO, ReasonOther,
}

// HandshakeError is a handshake that failed.
type HandshakeError struct {
	Reason Reason
	Cause  string // the likely one, for people
	Err    error
	First  []byte // what came, with ReasonPlainData; 64 bytes at most
}

// Silent reports whether the peer sent nothing.
func (e *HandshakeError) Silent() bool { return e.Cause == silent }

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("tls handshake: %s: %s (%v)", e.Reason, e.Cause, e.Err)
}

func (e *HandshakeError) Unwrap() error { return e.Err }

// alertMeanings are the alerts by which devices end a handshake, RFC 8446 section 6.2.
var alertMeanings = map[tls.AlertError]HandshakeError{
	42: {Reason: ReasonUntrustedCA,
		Cause: "the device does not accept our certificate: it lacks our CA, or the chain is incomplete"},
	43: {Reason: ReasonUntrustedCA, Cause: "the device cannot verify certificates of this type or key"},
	44: {Reason: ReasonUntrustedCA, Cause: "the device holds our certificate for revoked"},
	45: {Reason: ReasonExpired,
		Cause: "the device holds our certificate for expired: renew it, or the device's clock is wrong"},
	46: {Reason: ReasonUntrustedCA,
		Cause: "the device does not accept our certificate: it lacks our CA, or the server's name is another"},
	48: {Reason: ReasonUntrustedCA,
		Cause: "the device does not trust our CA: upload the CA's certificate to it, and serve the whole chain"},
	51: {Reason: ReasonUntrustedCA,
		Cause: "the device could not verify a signature: its copy of our CA may be an older one"},
	40: {Reason: ReasonNoSharedCipher,
		Cause: "the device refused the cipher suite, curve or signature that was agreed on"},
	71: {Reason: ReasonNoSharedCipher,
		Cause: "the device wants stronger cryptography than our certificate or suites have"},
	70: {Reason: ReasonUnsupportedVersion, Cause: "the device refused the TLS version"},
}

// alertOf is the alert that the peer has sent. crypto/tls has a type of its own for it, which it does not export; the
// texts are the same.
func alertOf(err error) (alert tls.AlertError, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	for code := range 256 {
		if alert = tls.AlertError(code); alert.Error() == op.Err.Error() {
			return alert, true
		}
	}
	return 0, false
}

// notTLSError is what came instead of a TLS record, with what has arrived behind it.
type notTLSError struct{ head []byte }

func (e *notTLSError) Error() string {
	return fmt.Sprintf("not a TLS record: %x", e.head[:min(len(e.head), headerSize)])
}

func notTLS(head []byte) error { return &notTLSError{append([]byte(nil), head...)} }

// explain says why the handshake failed, from the error, what the device offered, and how far they came.
func (s *Server) explain(c *Conn, a *attempt, err error) *HandshakeError {
	e := s.classify(c, a, err)
	e.Err = err
	return e
}

func (s *Server) classify(c *Conn, a *attempt, err error) *HandshakeError {
	var plain *notTLSError
	var header tls.RecordHeaderError
	alert, alerted := alertOf(err)
	if !alerted && a.alert != 0 {
		alert, alerted = tls.AlertError(a.alert), true
	}
	switch {
	case errors.Is(err, errBusy):
		return &HandshakeError{Reason: ReasonBusy, Cause: "the server had more handshakes to do than it could in that time"}
	case errors.As(err, &plain):
		return ofFirstBytes(plain.head)
	case errors.As(err, &header):
		return ofFirstBytes(header.RecordHeader[:])
	case alerted:
		return ofAlert(alert)
	case isSocketError(err):
		return ofSocket(c, a, err)
	case isClientCertificate(err):
		return &HandshakeError{Reason: ReasonClientCertificate, Cause: clientCertificateCause(err)}
	}
	return s.current.Load().compare(s.options.MinVersion, a.hello, err)
}

func ofAlert(alert tls.AlertError) *HandshakeError {
	e, known := alertMeanings[alert]
	if !known {
		e = HandshakeError{Reason: ReasonOther, Cause: "the device ended the handshake by an alert"}
	}
	return &e
}

// ofFirstBytes says what does not begin like TLS.
func ofFirstBytes(head []byte) *HandshakeError {
	e := &HandshakeError{Reason: ReasonPlainData, Cause: "plain data on the TLS port", First: head}
	switch {
	case len(head) >= 3 && head[0] == 0x80 && head[2] == 1:
		return &HandshakeError{Reason: ReasonUnsupportedVersion, Cause: "the device begins with an SSL 2 hello"}
	case len(head) >= 2 && head[0] == 0 && head[1] > 0, len(head) > 0 && head[0] == 0xFF:
		e.Cause += ": a tracker without TLS, whose TLS setting is off"
	case len(head) >= 4 && string(head[:4]) == "PROX", len(head) >= 4 && string(head[:4]) == "\r\n\r\n":
		e.Cause += ": a PROXY protocol header, from a balancer that is not expected here"
	case len(head) >= 3 && isUpper(head[:3]):
		e.Cause += ": it looks like HTTP"
	case len(head) > 0 && head[0] == handshakeRecord:
		e.Reason, e.Cause = ReasonOther, "what came is no sound TLS record"
	}
	return e
}

func isUpper(b []byte) bool {
	for _, c := range b {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

func isSocketError(err error) bool {
	var op *net.OpError
	var errno syscall.Errno
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.As(err, &errno) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.As(err, &op) && (op.Op == "read" || op.Op == "write")
}

// ofSocket says what the end of the connection means at the point that the handshake had come to.
func ofSocket(c *Conn, a *attempt, err error) *HandshakeError {
	e := &HandshakeError{Cause: stage(c, a)}
	switch {
	case errors.Is(err, net.ErrClosed), isCancelled(a.ctx),
		errors.Is(err, os.ErrDeadlineExceeded) && a.ctx.Err() == nil:
		e.Reason, e.Cause = ReasonShutdown, "the server is stopping"
	case a.ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		e.Reason, e.Cause = ReasonTimeout, stalledAt(c, a)
	default:
		e.Reason = endOf(err)
		if e.Reason == ReasonIO {
			e.Cause = broken
		}
	}
	return e
}

// endOf is how the peer has ended the connection, or ReasonIO if the socket failed otherwise.
func endOf(err error) Reason {
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ReasonReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return ReasonClosed
	}
	return ReasonIO
}

const broken = "the connection broke"

// afterHandshake says why a connection ends on which nothing was said behind the handshake.
func afterHandshake(err error) *HandshakeError {
	if alert, ok := alertOf(err); ok {
		return ofAlert(alert)
	}
	switch {
	case isClientCertificate(err):
		return &HandshakeError{Reason: ReasonClientCertificate, Cause: clientCertificateCause(err)}
	case !isSocketError(err):
		return &HandshakeError{Reason: ReasonOther,
			Cause: "the device's TLS stack broke the protocol after the handshake, or asked for another one"}
	case endOf(err) == ReasonIO:
		return &HandshakeError{Reason: ReasonIO, Cause: broken}
	}
	return &HandshakeError{Reason: endOf(err), Cause: leftAtCertificate}
}

// silent is the cause of an end before the first byte.
const silent = "the peer sent nothing: a health check or a scanner, or a device without a network"

// leftAtCertificate is how devices behave that do not trust a certificate and say nothing.
const leftAtCertificate = "the device left without an alert when it had seen our certificate: it probably does " +
	"not trust our CA, or its clock is wrong"

// stage says where the device left.
func stage(c *Conn, a *attempt) string {
	switch {
	case a.answered:
		return leftAtCertificate
	case a.hello == nil && c.tls.Load() == nil:
		return silent
	}
	return "the device left in the middle of its first message"
}

// stalledAt says where the device had come to when its time was over.
func stalledAt(c *Conn, a *attempt) string {
	switch {
	case a.answered:
		return "the device was not done in time when it had seen our certificate: its link is slow or lost, or its " +
			"TLS stack hangs"
	case a.hello == nil && c.tls.Load() == nil:
		return silent
	}
	return "the device's first message did not come to its end in time: its link is slow or lost"
}

func isClientCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.As(err, &verification) || strings.Contains(err.Error(), "client certificate") ||
		strings.Contains(err.Error(), "client didn't provide a certificate") ||
		strings.Contains(err.Error(), "client sent certificate")
}

func clientCertificateCause(err error) string {
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &verification):
		return "the device's certificate is not accepted: " + verification.Err.Error()
	case strings.Contains(err.Error(), "didn't provide"):
		return "the device has no certificate, which is required"
	}
	return "the device's certificate is not accepted"
}
