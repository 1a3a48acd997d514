// Package admin is the HTTP API for commands to devices and for who is connected, its server and its client; and the
// operator's page at /, which shows in a browser what the API says. GET /openapi.json is all of it for machines.
//
// # Send a command
//
//	POST /v1/devices/{imei}/commands
//
// The body is a JSON object, sent as Content-Type application/json, of 64 KiB at most:
//
//	command        text for the device, one line of printable ASCII; or
//	hex            bytes for the device; or
//	name           a command that has a name, such as locate: what is sent depends on the device's family or model
//	args           what the named command needs to be told, an object of strings and numbers
//	family         the device's family or model, where it is not known
//	dry_run        true: the answer says what the name means for the device, and nothing is sent (default false)
//	id             the sender's, 1 to 128 printable ASCII characters without spaces (default: a random one)
//	codec          12, or 14: the device confirms that it is the one meant (default 12)
//	timeout_ms     how long the answer is awaited once the command is sent, 100 to 600000 (default 30000)
//	expires_at     RFC 3339; the command is never sent later; or
//	expires_in_ms  the same from now on, 30 days at most (default 600000)
//	idempotent     true if the command may be sent twice where it is not known whether it was sent (default false)
//	confirm        true if it is meant although the policy asks for confirmation (default false)
//	only_if        what has to be true of the device's last record when the command is written to the connection, such
//	               as "speed<5,ignition=off"; docs/named-commands.md (default: nothing)
//	wait_ms        how long the request waits for the result, 0 to 60000; 0 does not wait
//	               (default: 5000 more than timeout_ms, 60000 at most)
//
// The answer is 200 with the entry if the command has its final state, else 202 with the entry, and its address in
// Location. Once a command is accepted it is carried out whoever waits for it.
//
//	$ curl --json '{"command":"getinfo","id":"info-1"}' http://127.0.0.1:9091/v1/devices/356307042441013/commands
//	200 {"id":"info-1","imei":"356307042441013","state":"answered","codec":12,"payload":"getinfo","encoding":"text",
//	     "timeout_ms":30000,"created_at":"2026-11-22T11:00:00.000Z","expires_at":"2026-11-22T11:10:00.000Z",
//	     "idempotent":false,"attempts":1,"sent_at":"2026-11-22T11:00:00.004Z","finished_at":"2026-11-22T11:00:00.311Z",
//	     "response":"RTC:2026/11/22 11:00 Init:…","response_encoding":"text","instance":"tcp-ingestion-1"}
//
// An id is executed once: whoever sends it again gets the entry that is kept, waiting for its result as asked. So
// whoever gave an id may repeat a request whose answer was lost.
//
//	$ curl --json '{"command":"getinfo","id":"info-1"}' http://127.0.0.1:9091/v1/devices/356307042441013/commands
//	200 {"id":"info-1",…}
//
//	$ curl --json '{"command":"getver","id":"info-1"}' http://127.0.0.1:9091/v1/devices/356307042441013/commands
//	409 {"error":"the id is another command's: …"}
//
// A name is what GET /v1/names lists, with ?family= those of a family. One that is dangerous needs confirmation
// whatever the policy says.
//
//	$ curl --json '{"name":"version","family":"fmb","dry_run":true}' \
//	    http://127.0.0.1:9091/v1/devices/356307042441014/commands
//	200 {"name":"version","imei":"356307042441014","family":"fmb","command":"getver","does":"…","confirm":false}
//
// What the policy asks confirmation for, and what is wrong:
//
//	$ curl --json '{"command":"defaultcfg"}' http://127.0.0.1:9091/v1/devices/356307042441013/commands
//	428 {"error":"…","reason":"confirm_needed"}
//
//	$ curl --json '{"command":"getinfo","codec":13,"wait":1}' http://127.0.0.1:9091/v1/devices/356307042441013/commands
//	400 {"error":"invalid fields: codec, wait","fields":{"codec":"must be 12 or 14","wait":"is unknown"}}
//
// # Follow it, take it back
//
//	GET    /v1/devices/{imei}/commands/{id}   the entry; ?wait_ms= waits for its final state, 0 to 60000 (default 0)
//	DELETE /v1/devices/{imei}/commands/{id}   cancels it, if it is queued; 409 with the entry if it is not any more
//
// In the path an id is percent-encoded; one that is a single slash cannot be asked for.
//
//	$ curl --json '{"command":"setdigout 1","id":"door/7","wait_ms":0}' \
//	    http://127.0.0.1:9091/v1/devices/356307042441014/commands
//	202 {"id":"door/7","imei":"356307042441014","state":"queued","waits_for":"device",…}
//
//	$ curl http://127.0.0.1:9091/v1/devices/356307042441014/commands/door%2F7
//	200 {"id":"door/7",…}
//
//	$ curl -X DELETE http://127.0.0.1:9091/v1/devices/356307042441014/commands/door%2F7
//	200 {"id":"door/7","state":"cancelled",…}
//
//	$ curl -X DELETE http://127.0.0.1:9091/v1/devices/356307042441013/commands/info-1
//	409 {"error":"the command is not queued any more, it is answered","entry":{"id":"info-1",…}}
//
//	$ curl http://127.0.0.1:9091/v1/devices/356307042441014/commands/info-1
//	404 {"error":"no command of this id"}
//
// Whoever has only the id leaves the device out:
//
//	GET    /v1/commands/{id}
//	DELETE /v1/commands/{id}
//
//	$ curl http://127.0.0.1:9091/v1/commands/door%2F7
//	200 {"id":"door/7",…}
//
// # List commands
//
//	GET /v1/devices/{imei}/commands   those of the device, the newest first
//	GET /v1/commands                  those of all devices
//
// All that are queued or sent are listed, and what has ended as long as it is kept: with a control Redis for a day, the
// newest 256 of a device and 10,000 in all, otherwise for EMBEDDED_RETENTION. Parameters:
//
//	state    open: only those that are queued or sent; all (default)
//	limit    1 to 200 (default 50); a page of large ones has fewer
//	cursor   next of the page before
//
//	$ curl http://127.0.0.1:9091/v1/devices/356307042441014/commands?limit=1
//	200 {"commands":[{"id":"door/7","imei":"356307042441014","state":"cancelled",…}]}
//
// A page that is not the last has "next".
//
// # The entry
//
//	id, imei, codec, timeout_ms, expires_at, idempotent   as sent
//	state                        queued, sent, or a final one: answered, nacked, timed_out, expired, failed, cancelled
//	payload, encoding            of the command: text, or hex if it is not printable ASCII
//	only_if                      the condition in full, with the age that the record may have
//	waits_for                    while it is queued: device, which is not connected, or turn, which is the device's own
//	not_plain                    why it is not certain what the device takes it for, such as a control character
//	attempts                     how often it may have been sent
//	created_at, sent_at, finished_at
//	response, response_encoding  the device's answer: text, in UTF-8, or hex if there is too little text in it
//	response_hex                 its bytes, if response is text and not exactly them
//	reason                       of a final state other than answered, in words
//	instance                     that sent it last or, if none did, finished it
//
// Times are RFC 3339, UTC, with milliseconds. What is not known or did not happen is left out.
//
// # The devices
//
//	GET /v1/devices          those connected now, by IMEI, and with ?state=gone or ?state=all others; ?imei= one of them
//	GET /v1/devices/{imei}   one of them, also if it has left long ago; 404 if it was never seen
//
// Where there is a control Redis they are those of all instances. With ?limit=, 1000 at most, a list is a page: next is
// the cursor of the next one, ?cursor=, and missing on the last. A page may have less devices than asked for. With
// ?verdict=true each has a verdict, without its evidence and what to do.
//
//	$ curl 'http://127.0.0.1:9091/v1/devices?state=all&limit=1'
//	200 {"devices":[{"imei":"356307042441013","connected":true,"instance":"one",
//	     "instance_run":"2026-11-22T10:12:01.512Z","transport":"tcp","remote":"198.51.100.7:40312",
//	     "since":"2026-11-22T10:12:01.512Z","codec":"8E","frames":120,"records":371,
//	     "first_seen":"2026-11-22T10:12:01.512Z","last_seen":"2026-11-22T11:12:01.512Z","model":"FMB120",
//	     "login":{"at":"2026-11-22T10:12:01.512Z","answer":"accepted","remote":"198.51.100.7:40312"},
//	     "logins":1,"taken_over":0,
//	     "counts":{"stored":371,"duplicate":0,"dead_lettered":0,"refused":0,"messages":0,"empty_frames":0,
//	     "repeated_frames":0,"wrong_crc":0},
//	     "counts_since_stored":{"stored":0,…},"last_stored":"2026-11-22T11:12:01.512Z",
//	     "last_record":{"timestamp":"2026-11-22T11:12:01.512Z","fix":"ok","latitude_1e7":546674250,
//	     "longitude_1e7":252560283,"speed":42}}],"next":"356307042441013"}
//
//	$ curl http://127.0.0.1:9091/v1/devices/356307042441015
//	200 {"imei":"356307042441015","connected":false,"closed_at":"2026-11-22T11:12:01.512Z",
//	     "close_reason":"peer_closed","verdict":{"code":"gone","severity":"problem","text":"It has left, and …",
//	     "evidence":["last seen …"],"next":"See …","rank":43},…}
//
//	$ curl http://127.0.0.1:9091/v1/devices/356307042441014
//	404 {"error":"the device was never seen",
//	     "verdict":{"code":"never_seen","severity":"unknown","text":"It was never seen, …","next":"…","rank":26}}
//
// The connection is the last one, which may be open still:
//
//	instance, instance_run   where, and when that process began
//	instance_lost            when the instance was last heard of that the device was connected to, if it has died
//	transport, remote        tcp, tls or udp; address and port
//	since                    its login
//	closed_at, close_reason  its end: docs/reference/close-reasons.md
//	codec, frames, records   of its last frame of records; those acknowledged on it
//
// The device:
//
//	first_seen, last_seen    by this service, for as long as it remembers the device; a whole frame, or a login
//	model, firmware, family  as its owner's map, its answer to getver or its elements say
//	claimed                  only datagrams say so: anybody can send one in its name
//	datagrams                what they have done in its name beside its connections, as such an object
//	login                    the last one in its name, whoever it was: at, remote, answer (accepted, delayed, rejected),
//	                         reason (not_listed, certificate, backoff), delay_ms
//	logins, logins_rejected  how many; the latter at this instance since it began
//	taken_over, take_overs   connections that ended because of a newer one of the device; the last eight: at, from, by
//	                         (not if that is at another instance) and instance. Two devices with one IMEI do so in turn
//	counts                   records by what has become of them: stored, duplicate, dead_lettered, refused (and sent
//	                         again by the device; refused_reason is the last one); messages stored; frames without a
//	                         record (empty_frames), with duplicates only (repeated_frames), with a wrong_crc
//	counts_since_stored      the same since the frame of last_stored, when a record was stored that was new
//	last_record              of the last frame that was stored, the latest: timestamp, fix (ok, stale, none), clock
//	                         (future, unset), latitude_1e7 and longitude_1e7 in 1e-7 degree, speed in km/h
//	last_error               what was wrong last: at, cause (crc, cut_off, malformed, …), text, first (up to 64 bytes
//	                         of the frame, in base64)
//	verdict                  why it is, or is not, visible; of one device, and also with 404
//	incomplete               why what other instances know is missing, if the control Redis does not answer
//
// What is only counted may be five minutes old if the device is at another instance.
//
// # Why a device is not visible, and who knocks
//
//	GET /v1/problems    the devices of all instances with a problem, the worst first; ?limit= 1 to 1000 (default 200)
//	GET /v1/strangers   who knocked and never logged in, the last one first; ?imei= and ?limit= select, 1 to 1000
//
// A verdict has a code and a severity (fine, problem, or unknown for a device that was never seen), both of which
// docs/reference/verdicts.md lists; its text, the evidence, and next, what to do; the lower its rank, the worse it is.
// Evidence quotes what devices and strangers say.
//
//	$ curl http://127.0.0.1:9091/v1/problems?limit=1
//	200 {"problems":[{"imei":"356307042441016","verdict":{"code":"on_http_port","severity":"problem",
//	     "text":"It knocks at the wrong door: …","evidence":["198.51.100.9:40312 knocked …"],"next":"Set its …",
//	     "rank":10}}],"total":3,"next":"MTAgMzU2MzA3MDQyNDQxMDE2"}
//
// total counts those of all pages, next is the cursor of the next one. A device that was seen has last_seen, too.
//
//	$ curl http://127.0.0.1:9091/v1/strangers
//	200 {"strangers":[{"at":"2026-11-22T11:00:00Z","first_at":"2026-11-22T10:58:00Z","count":3,
//	     "address":"198.51.100.9:40312","door":"http","cause":"on_http_port",
//	     "text":"a tracker on a port for HTTP: …","first":"000f333536333037303432343431303136",
//	     "imei":"356307042441016","imei_as":"login","instance":"one"}]}
//
// door is tcp, tls, udp, http or admin; protocol what the first bytes look like, such as MQTT; first up to 64 of them,
// in hex; imei_as as what the IMEI stands there: login, text, hex_text, bcd, number, http_path, mqtt_client_id. The
// causes:
//
//	silent, login_cut_off, malformed_login, frame_first, no_datagram, plain_on_tls, tls_on_plain, tls_handshake,
//	tls_unused, on_http_port, udp_on_tcp, tcp_on_udp, proxy_untrusted, proxy_missing, proxy_malformed, hex_text,
//	foreign_protocol, limit, crowded_out, rate_limited
//
// # Last records, dead letters
//
//	GET /v1/devices/{imei}/records   the last ones stored, the newest first; ?limit= 1 to 100 (default 20)
//
//	$ curl http://127.0.0.1:9091/v1/devices/356307042441013/records?limit=1
//	200 {"records":[{"device_id":"356307042441013",…}],"units":{"external.powersource.voltage":"V"},"whole":true}
//
// The records are the documents that are published, units those of the signals in them. The embedded engine shows those
// with the latest timestamps; Redis looks at the newest 10,000 of all devices only, and whole is false if there may be
// more. Kafka and JetStream cannot find one device's: 501.
//
//	GET    /v1/deadletters                the oldest first; ?device= and ?reason= select, ?limit= 1 to 200 (default 50)
//	GET    /v1/deadletters/{ref}          one with its frame, explained as the command decode does
//	POST   /v1/deadletters/{ref}/replay   publishes what can be decoded by now, and removes it; the body is {}
//	DELETE /v1/deadletters/{ref}          removes it for good
//
//	$ curl http://127.0.0.1:9091/v1/deadletters?limit=1
//	200 {"dead_letters":[{"ref":"1","received":"2026-11-22T11:00:00.000Z","device_id":"356307042441013",
//	     "reason":"malformed","codec":"8","bytes":46,"records_claimed":1,"transport":"tcp"}],"next":"1"}
//
//	$ curl --json '{}' http://127.0.0.1:9091/v1/deadletters/1/replay
//	200 {"published":1,"duplicates":0,"messages":0,"dead_lettered":0}
//
//	$ curl -X DELETE http://127.0.0.1:9091/v1/deadletters/1
//	404 {"error":"there is no such dead letter"}
//
// While there is a next, ?after= it is the next page, for which the engine reads over what is before it; 410 if that
// one is gone. What still cannot be decoded stays: 409 with the reason.
//
// # The service at a glance
//
//	GET /v1/status
//
//	$ curl http://127.0.0.1:9091/v1/status
//	200 {"now":"2026-11-22T11:00:00Z","instance":"one","version":"…","started":"2026-11-22T10:00:00Z",
//	     "ready":true,"engine":{"name":"redis 7.0.15","class":"fsync","durability":"every record fsynced before its ACK",
//	     "records":371},"records":{"received":{"total":0,"per_second":0},"published":{…},"duplicate":{…},
//	     "dead_lettered":{…},"refused":{…}},"queue":{"depth":0,"capacity":0},"connections":{"tcp":1},
//	     "groups":[{"name":"flespi","lag":0,"unread":12,"oldest_seconds":0.4}],
//	     "alerts":[{"name":"IngestionDeadLetters","severity":"info","firing":true,
//	     "since":"2026-11-22T11:00:00Z","fires_at":"2026-11-22T11:00:00Z"}],
//	     "not_evaluated":[{"name":"IngestionDown","why":"only from outside"}]}
//
// reasons say why it is not ready, warnings what else does not work; certificate_days is there with TLS. Figures are a
// few seconds old at most, those of a second are over the last ten, and what is not known is left out. alerts are those
// of deploy/prometheus/alerts.yml whose condition holds at this instance, by the last hour at most; not_evaluated are
// those that one instance cannot know of.
//
// # Packets as they come
//
//	GET /v1/tap   what comes from devices and goes to them, as server-sent events, until the reader has enough
//
// Parameters say what is shown; without any it is everything at this instance. Of other instances nothing is seen.
//
//	imei        of one device, as it logged in or as its datagrams say
//	address     of the device, without port, or a network such as 198.51.100.0/24
//	transport   tcp, tls or udp; or http or admin: strangers at the ports for HTTP
//	outcome     one or more of the outcomes below, with commas between them
//	strangers   true: only of connections on which nobody has logged in, at any port, and datagrams not looked into
//	positions   true: show where devices are, which is hidden otherwise
//	explain     json, text or both: how packets are explained (default json)
//	for_ms      how long the tap lasts, 1 to 86400000 (default 3600000)
//
// The answer is text/event-stream; each event's data is one line of JSON. Comments keep the connection alive: one at
// least every 15 s without an event.
//
//	open      {"instance":…,"positions":false,"until":…}: from now on packets are shown
//	packet    see below
//	dropped   {"dropped":12}: so many packets before the next one are not shown: the reader was too slow, they were
//	          more than 500 a second, or more than could be explained, for which all taps have a twentieth of a processor
//	end       {"reason":"over"} after for_ms, or "stopping" with the server; what ends without it has broken off
//
// A packet:
//
//	time        of its last byte
//	instance    INSTANCE_ID
//	imei        of the device, if it is known; of a stranger, if his bytes hold one
//	address     of the device, with port
//	transport   as above
//	direction   in: from the device; or out
//	kind        login (or what came instead of one), frame, datagram; or, out, command
//	outcome     of a login: accepted, rejected; of data: stored (all that was not a duplicate), duplicate (all of it),
//	            empty, dead_lettered (some or all), refused, wrong_crc, command_answer, pending (a message whose
//	            connection ended before it was stored); of a command: command_sent, command_failed; of all: malformed,
//	            cut_off, turned_away (no room)
//	reason      for the outcome: a reason of the metrics, a close reason, or why a stranger is one
//	error       what was wrong, in words
//	stranger    true if nobody has logged in on the connection, or nobody looks into the datagram
//	size        of the packet in bytes, as far as that is known; of one above 66,576 only so many are shown
//	hex         its bytes, with two dots for one that is hidden; of a stranger the first ones
//	hidden      how many are hidden
//	answer      what the device was answered, in hex, and answer_ms: how long after time
//	explained   what the packet holds, as the objects of decode --json; one, or more where something else was sent
//	text        the same, as decode writes it
//
// Times are as above, and what is not known is left out. Positions that are hidden are coordinates and altitude, cells
// of the mobile network, what devices say in messages, and all but the beginning of what cannot be decoded. Everything
// else that a device says is shown as it says it: whoever shows it on escapes it.
//
//	curl -N 'http://127.0.0.1:9091/v1/tap?imei=356307042441013&explain=text'
//	event: open
//	data: {"instance":"tcp-ingestion-1","positions":false,"until":"2026-11-22T12:00:00.000Z"}
//
//	event: packet
//	data: {"time":"2026-11-22T11:00:00.123Z","instance":"tcp-ingestion-1","imei":"356307042441013",
//	       "address":"198.51.100.7:40312","transport":"tcp","direction":"in","kind":"frame","outcome":"stored","size":60,
//	       "hex":"000000000000002d…","hidden":10,"answer":"00000001","answer_ms":3.1,"text":"TCP frame, Codec 8, …"}
//
// 16 taps may be open at once. Each is logged when it opens, with who and what, and when it closes.
//
// # Errors
//
// Their body is {"error":"…"}, with what else is known: fields, reason, id, entry.
//
//	400  wrong fields or parameters, all of them named in fields; not JSON
//	401  the token is missing or wrong
//	403  denied by the policy (reason denied); a request that a web page may have made
//	404  no such command, device or path
//	405  no such method
//	409  the id is another command's; not queued any more; a dead letter that cannot be decoded
//	     the device sends datagrams and was never connected, so that no command can reach it (reason udp_only)
//	410  the dead letter to begin behind is gone
//	413  the body is too large
//	415  the body is not said to be JSON
//	428  confirmation needed: the same again with "confirm": true (reason confirm_needed)
//	429  too many commands for the device, connected or not (reason queue_full), too many for all devices (reason
//	     store_full), or too many requests of the address without the token; again after Retry-After
//	501  the engine cannot show that
//	503  the store does not answer, and the command with the id given may have been accepted: send that id again;
//	     or too many requests wait, or too many taps are open: again after Retry-After
//
// # Who may
//
// With a token every request needs it:
//
//	curl -H "Authorization: Bearer $ADMIN_TOKEN" http://127.0.0.1:9091/v1/devices
//
// Without one, whoever is on this machine may, but no web page that is shown on it: requests are answered only if they
// are made to localhost or a loopback address by name, which those of a rebound DNS name are not; commands only if they
// are JSON, which no page of another origin sends unasked; and no origin is given leave to (CORS). What a browser says
// comes from another origin is refused. The operator's page may read, and change nothing: not even that page is given
// what nobody has asked a token for.
//
// The page's own files and /openapi.json are given to everybody who may reach the port: they are the same for all, and
// what the page shows it asks the API for. The page keeps the token that it is given in its tab (sessionStorage) and
// sends it in a header of its own requests, as any program does. There is no cookie, which a browser would also send to
// whatever else is served on this host, at any port, and add to requests that other pages make.
//
// The API speaks plain HTTP. Between machines, put a proxy with TLS before it, or a tunnel.
package admin
