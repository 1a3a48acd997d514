package simulate

// Transport is what devices reach the server by.
type Transport string

// The transports. Over UDP there are no logins and no commands: a connection is a socket then, that is, an address
// from which a device sends, and a frame is a datagram of at most 1300 bytes.
const (
	TCP Transport = "tcp"
	UDP Transport = "udp"
	TLS Transport = "tls"
)

// validateTransport checks what is said of a transport, and that nothing is said of another one.
func (o *Options) validateTransport(check func(ok bool, field, format string, args ...any)) {
	check(o.Transport == TCP || o.Transport == UDP || o.Transport == TLS, "Transport", "%q, expected %s, %s or %s",
		o.Transport, TCP, UDP, TLS)
	check(o.TLS == nil || o.Transport == TLS, "TLS", "is set, and the transport is %s", o.Transport)
	check(o.Loss >= 0 && o.Loss < 1, "Loss", "%v, expected a share from 0 to less than 1", o.Loss)
	check(o.ReorderDelay >= 0, "ReorderDelay", "%v is negative", o.ReorderDelay)
	check(o.Duplicate >= 0 && o.Duplicate <= 1, "Duplicate", "%v, expected a share from 0 to 1", o.Duplicate)
	check(o.Reorder >= 0 && o.Reorder <= 1, "Reorder", "%v, expected a share from 0 to 1", o.Reorder)
	check(o.Transport == UDP || o.Loss <= 0, "Loss", "is of datagrams, and the transport is %s", o.Transport)
	check(o.Transport == UDP || o.Duplicate <= 0, "Duplicate", "is of datagrams, and the transport is %s", o.Transport)
	check(o.Transport == UDP || o.Reorder <= 0, "Reorder", "is of datagrams, and the transport is %s", o.Transport)
	if o.Transport == UDP {
		o.refuseMessages(check)
	}
}

// refuseMessages makes sure that devices that send datagrams are to send records only: how they would take commands is
// not known.
func (o *Options) refuseMessages(check func(ok bool, field, format string, args ...any)) {
	const only = "has no meaning over udp, where only records are sent"
	check(o.CommandSilence <= 0, "CommandSilence", only)
	check(o.CommandLate <= 0, "CommandLate", only)
	check(o.CommandNack <= 0, "CommandNack", only)
	check(o.CommandTwice <= 0, "CommandTwice", only)
	check(o.Messages <= 0, "Messages", only)
	check(o.Executed == nil, "Executed", only)
}
