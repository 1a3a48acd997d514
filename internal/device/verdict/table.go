package verdict

import (
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// row is a situation.
type row struct {
	code     Code
	severity Severity
	applies  func(*caseOf) bool
	text     string
	evidence func(*caseOf) []string // nil for none but what is always said
	next     string
}

// knock is the row of strangers who knock for a cause.
func knock(cause stranger.Cause, text, next string) row {
	return row{Code(cause), Problem, knocked(cause), text, (*caseOf).knockLine, next}
}

// table is from what is known to what is the matter. The first row that applies counts, so what keeps a device out
// stands before what is wrong with what it sends; and the rows are the ranks, the worst first.
// docs/reference/verdicts.md comes from it.
var table = []row{
	// The service's own.
	{"engine", Problem, func(c *caseOf) bool {
		return c.here() && c.Service.Engine != "" || failedLately("engine", "timeout")(c)
	}, "The engine does not store, so nothing of what the device sends is acknowledged. It keeps its records and sends " +
		"them again.", (*caseOf).engineLine,
		"Ask /readyz on METRICS_PORT, and see to the engine: OPERATIONS.md, /readyz is 503. Nothing is to be done at the " +
			"device."},
	{"queue_full", Problem, func(c *caseOf) bool {
		return failedLately("overflow")(c) || c.here() && c.Service.Capacity > 0 && c.Service.Queued >= c.Service.Capacity
	}, "The queue of records to be stored is full, so its frames are refused. It keeps its records and sends them again.",
		(*caseOf).queueLine,
		"See IngestionOverflow in docs/runbook.md: the engine is too slow, or PUBLISH_QUEUE_CAPACITY too small."},
	{"stopping", Problem, func(c *caseOf) bool { return c.here() && c.Service.Stopping || failedLately("draining")(c) },
		"The instance is stopping. It takes no more frames, and the device connects again soon.", (*caseOf).errorIfLast,
		"Wait for the restart, and see that the balancer knows another instance."},
	{"bug", Problem, closed("panic"), "A bug of the server ended its last connection.", (*caseOf).seenLine,
		"Look for session panicked in the log, and report it: IngestionSessionPanicked in docs/runbook.md."},

	// It may not get in.
	{"taken_off_list", Problem, func(c *caseOf) bool { return closed("revoked")(c) && c.knock == nil },
		"It was taken off the list of known devices while it was connected, and is refused since.", (*caseOf).loginLine,
		"Put its IMEI on DEVICE_ALLOW_LIST again, if it is to get in."},
	{"not_listed", Problem, rejected(device.LoginNotListed), "It is refused: it is not on the list of known devices.",
		(*caseOf).loginLine, "Put its IMEI on DEVICE_ALLOW_LIST; the list is read again every DEVICE_ALLOW_LIST_REFRESH."},
	{"other_certificate", Problem, rejected(device.LoginCertificate),
		"It is refused: its TLS certificate is another device's.", (*caseOf).loginLine,
		"Upload its own certificate, which names its IMEI, or see who uses it: docs/tls.md."},

	// It knocks at the wrong door, or says what is not understood there.
	knock(stranger.CausePlainOnTLS, "It knocks at the wrong door: it comes without TLS to the port for TLS.",
		"Switch on TLS in the device (parameter 2020), or send it to TELTONIKA_PORT (parameter 2005), or set TLS_DETECT on "+
			"the server."),
	knock(stranger.CauseTLSOnPlain, "It knocks at the wrong door: it comes with TLS to the port without TLS.",
		"Send it to TLS_PORT (parameter 2005), or set TLS_DETECT on the server, or switch off TLS in the device "+
			"(parameter 2020)."),
	knock(stranger.CauseTLS, "It comes by TLS, and the handshake fails.",
		"See docs/tls.md, what fails how; tcp-ingestion check tls HOST:PORT looks at the server as a device does."),
	knock(stranger.CauseTLSUnused, "It comes by TLS, and says nothing once the handshake is done.",
		"It does not trust the certificate, most likely: see docs/tls.md, what fails how; or data do not get through."),
	knock(stranger.CauseOnHTTP, "It knocks at the wrong door: it comes to a port for HTTP, METRICS_PORT or ADMIN_ADDRESS.",
		"Set its server port (parameter 2005) to TELTONIKA_PORT, 5027 unless it is set; and do not let devices reach the "+
			"ports for HTTP."),
	knock(stranger.CauseUDPOnTCP, "It knocks at the wrong door: it sends datagrams in a TCP connection.",
		"Set its protocol (parameter 2006) to 0 for TCP, or send it to UDP_PORT by UDP."),
	knock(stranger.CauseTCPOnUDP, "It knocks at the wrong door: it sends by UDP what belongs into a TCP connection.",
		"Set its protocol (parameter 2006) to 1 for UDP in its own form, or send it to TELTONIKA_PORT by TCP."),
	knock(stranger.CauseNoDatagram, "It sends datagrams that are none of a tracker.",
		"Look at the bytes with tcp-ingestion decode --transport udp HEX, and at what changes them on the way."),
	knock(stranger.CauseProxyUntrusted, "A balancer before it sends the PROXY protocol, and is not believed.",
		"Put the balancer's address into PROXY_PROTOCOL_FROM, or have it send no header: docs/balancers.md."),
	knock(stranger.CauseProxyMissing, "It comes through an address of PROXY_PROTOCOL_FROM without the header of a "+
		"balancer.",
		"Have the balancer send it (haproxy: send-proxy-v2), or take the address out of PROXY_PROTOCOL_FROM: "+
			"docs/balancers.md."),
	knock(stranger.CauseProxyMalformed, "A balancer before it sends a PROXY protocol header that cannot be used.",
		"See proxy header refused in the log, and docs/balancers.md."),
	knock(stranger.CauseHexText, "It comes with hex digits as text, where bytes belong.",
		"Whatever sends them, a gateway or a script, has to send bytes: the digits 000F are two bytes."),
	knock(stranger.CauseFrameFirst, "It sends a frame before its login is answered.",
		"See that nothing between device and server keeps the login back; a device that does so by itself has a wrong "+
			"protocol (parameter 2006)."),
	knock(stranger.CauseForeign, "It speaks another protocol.",
		"The evidence names it and what to set; a device of another make needs another server."),
	knock(stranger.CauseMalformedLogin, "Its login is malformed.",
		"It has to be two bytes of length and the IMEI in ASCII: look at the bytes with tcp-ingestion decode HEX, and at "+
			"what changes them on the way."),
	knock(stranger.CauseCutOff, "Its login is cut off: it begins and does not come to its end.",
		"Look at the link: if it is always the same byte, large packets get lost, and a lower MTU helps."),
	{"silent_connection", Problem, knocked(stranger.CauseSilent), "It connects and sends nothing, not even its login.",
		(*caseOf).knockLine, "Look for a firewall or operator that lets a connection through and no data."},
	knock(stranger.CauseLimit, "There is no room for it: all of MAX_CONNECTIONS are proven devices'.",
		"See IngestionConnectionLimit in docs/runbook.md: raise MAX_CONNECTIONS and the limit of file descriptors."),
	knock(stranger.CauseCrowdedOut, "There was no room for it, and it had not proved itself yet.",
		"See IngestionCrowded in docs/runbook.md."),
	knock(stranger.CauseRateLimited, "Its address is limited: too many connections from there have ended without a login.",
		"See IngestionAddressesLimited in docs/runbook.md; strangers in GET /v1/strangers say what else comes from there."),
	{"never_seen", Unknown, func(c *caseOf) bool { return !c.seen },
		"It was never seen, and nobody has knocked with its IMEI.", (*caseOf).candidates,
		"Compare the IMEI with the device's label; then its server (parameters 2004 domain, 2005 port, 2006 protocol), its " +
			"SIM and APN (2001), and whether the port is open: nc -vz HOST PORT from outside."},
	{"no_room", Problem, closed("limit", "crowded_out", "rate_limited"), "It had to go because there was no room.",
		(*caseOf).seenLine, "See IngestionConnectionLimit and IngestionCrowded in docs/runbook.md."},

	// It gets in, and what it sends is not stored.
	{"two_devices", Problem, pingPong, "Two devices have this IMEI, or one has two connections: they take over from " +
		"each " +
		"other again and again.", (*caseOf).takeOverLines,
		"Look who is at the addresses: a cloned or copied device, or a simulator; each has to have its own IMEI."},
	{"login_delayed", Problem, func(c *caseOf) bool {
		return c.p.Login.Answer == device.LoginDelayed && c.nothingSinceLogin()
	}, "Its logins are answered late, because its connections were closed or refused again and again.",
		func(c *caseOf) []string { return append(c.loginLine(), c.errorLine()...) },
		"See what was wrong before; an acknowledged frame ends the delay, which is 2 s at most."},
	{"unknown_codec", Problem, failed("unknown_codec"), "It sends a codec that is not decoded.", (*caseOf).errorAndSince,
		"Set its data protocol (parameter 113) to Codec 8 or 8 Extended; the frame is kept: tcp-ingestion deadletters list."},
	{"wrong_crc", Problem, failed("crc"), "Its frames have a wrong CRC, and are not acknowledged.",
		(*caseOf).errorAndSince,
		"Change its firmware, or its modem: TCP itself repairs the line. OPERATIONS.md, CRC failures from one device."},
	{"cut_off", Problem, failed("cut_off", "frame_timeout"), "Its frames are cut off: they begin and do not come to " +
		"their end.",
		(*caseOf).errorAndSince, "Look at its link: if it is always the same byte, large packets get lost, and a lower " +
			"MTU helps."},
	{"lost_boundaries", Problem, failed("bad_frame"), "It sends neither frames nor logins: the frame boundaries are lost.",
		(*caseOf).errorAndSince, "Look at the bytes, and at what changes them on the way; tcp-ingestion decode HEX " +
			"explains a frame."},
	{"overload", Problem, failed("overload"), "Its frames are very large, and there were too many of these.",
		(*caseOf).errorAndSince, "Have it send smaller frames; if many devices do so, see close reason overload."},
	{"unlisted_rate", Problem, failed("unlisted"), "It is on no list, and sends more than such a device may.",
		(*caseOf).errorAndSince, "Put it on DEVICE_ALLOW_LIST, or raise UNLISTED_RECORD_RATE."},
	{"dead_letter_limit", Problem, failed("dead_letters"), "It sends only what cannot be decoded, and more of that " +
		"than is kept.",
		(*caseOf).errorAndSince, "See what it sends: tcp-ingestion deadletters list --device IMEI. Mend or block it."},
	{"dead_letters", Problem, func(c *caseOf) bool {
		return failed("malformed", "too_large", "timestamp")(c) && c.p.Since.DeadLettered > 0
	}, "It sends only what cannot be published. It is acknowledged, and kept as dead letters.", (*caseOf).errorAndSince,
		"See them with tcp-ingestion deadletters list --device IMEI; once they can be decoded, deadletters replay " +
			"publishes them."},
	{"duplicates", Problem, func(c *caseOf) bool { return c.p.Since.Repeated >= repeatedly },
		"It sends nothing but records that are stored already: our ACK does not reach it.", (*caseOf).sinceLine,
		"Look at the way back to the device: a proxy or operator that drops the four bytes of the ACK, or a device that " +
			"waits " +
			"for another answer."},
	{"zero_records", Problem, func(c *caseOf) bool { return c.p.Since.EmptyFrames >= repeatedly },
		"It sends only frames without a record.", (*caseOf).sinceLine,
		"Look at its data acquisition settings: it has nothing to send. tcp-ingestion send IMEI getinfo asks it."},
	{"silent", Problem, func(c *caseOf) bool { return c.nothingSinceLogin() && c.ago(c.p.ConnectedAt) >= silentAfter },
		"It is connected, and has sent nothing since its login.", (*caseOf).errorIfLast,
		"Ask it: tcp-ingestion send IMEI getinfo. If it answers, look at its data acquisition settings; if not, the way " +
			"from " +
			"it is broken."},
	{"quiet", Problem, func(c *caseOf) bool { return c.p.Connected && !c.p.Claimed && c.ago(c.p.LastSeen) >= quietAfter },
		"It is connected, and has sent no frame for hours.", (*caseOf).quietLine,
		"Ask it: tcp-ingestion send IMEI getinfo; look at how often it is to send when it is parked."},

	// It is not there any more.
	{"instance_lost", Problem, func(c *caseOf) bool { return !c.p.InstanceLost.IsZero() },
		"It was connected to an instance that is not heard of any more.", (*caseOf).lostLine,
		"See whether that instance runs, and reaches the control Redis; the device comes back by itself if it can."},
	{"gone", Problem, func(c *caseOf) bool { return !c.p.Connected && c.ago(c.p.LastSeen) >= goneAfter },
		"It has left, and was not seen for more than a day.", (*caseOf).seenLine,
		"See docs/reference/close-reasons.md for why its last connection ended; then its power, SIM and coverage."},

	// It is stored, and not where or when it should be.
	{"clock_unset", Problem, clock("unset"), "Its records are stored with a time before 2010: its clock is not set.",
		(*caseOf).recordLine, "Let it have a view of the sky, or set its time synchronisation to NTP or the network; " +
			"look for its " +
			"records at their own time."},
	{"clock_future", Problem, clock("future"), "Its records are stored with a time that is to come: its clock is wrong.",
		(*caseOf).recordLine, "Set its time synchronisation; look for its records at their own time."},
	{"no_fix", Problem, fix("none"), "Its records are stored without a position: it has no fix.", (*caseOf).recordLine,
		"Look at its antenna and its place; tcp-ingestion send IMEI getgps asks it."},
	{"stale_fix", Problem, fix("stale"), "Its records repeat an old position: it has no satellites.", (*caseOf).recordLine,
		"Look at its antenna and its place; a device under a roof repeats its last place."},

	// Nothing is wrong.
	{"shed", Fine, closed("shed"), "It was asked to move to another instance, and has not come back yet.",
		(*caseOf).seenLine, "Wait: it connects again by itself. See POST /v1/shed and SHED_ABOVE in docs/balancers.md."},
	{"left", Fine, func(c *caseOf) bool { return !c.p.Connected }, "It has left, less than a day ago. Trackers sleep.",
		(*caseOf).seenLine, "Wait until it wakes; docs/reference/close-reasons.md says why its last connection ended."},
	{"waiting", Fine, (*caseOf).nothingSinceLogin, "It has just connected, and has not sent anything yet.", nil,
		"Ask again in a moment."},
	{"elsewhere", Fine, func(c *caseOf) bool { return !c.here() }, "It is connected to another instance, and is stored.",
		(*caseOf).recordIfAny, "Ask that instance for more: a tap shows only what comes to its own instance."},
	{"fine", Fine, func(*caseOf) bool { return true }, "It is connected, and what it sends is stored.",
		(*caseOf).recordIfAny, "Look for it in what reads the records: tcp-ingestion tail --imei IMEI shows them as they " +
			"are stored."},
}
