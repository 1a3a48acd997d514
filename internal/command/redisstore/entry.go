package redisstore

import (
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// commandArgs is a command as the scripts read it: the fields of a stream's entry, and created, in this order.
func commandArgs(c *command.Command) []any {
	payload, encoding := command.EncodePayload(c.Payload)
	return []any{
		c.ID, c.IMEI, codecField(c), payload, string(encoding), c.Timeout.Milliseconds(),
		milliseconds(c.Created), milliseconds(c.Expires), strconv.FormatBool(c.Idempotent), strconv.FormatBool(c.Confirm),
	}
}

// ifWord stands between the codec and the condition. They are one field so that a version that knows no conditions
// finds no codec in it, and does not send what it would send whatever is true of the device.
const ifWord = " if "

// codecField is "12", or "12 if " and the condition.
func codecField(c *command.Command) string {
	codec := strconv.Itoa(int(c.Codec))
	if c.OnlyIf == nil {
		return codec
	}
	return codec + ifWord + c.OnlyIf.String()
}

// codec is the first part of the field, zero if there is none.
func (f fields) codec() teltonika.Codec {
	codec, _, _ := strings.Cut(f["codec"], ifWord)
	n, _ := strconv.ParseUint(codec, 10, 8)
	return teltonika.Codec(n)
}

func (f fields) onlyIf() *condition.Condition {
	_, text, _ := strings.Cut(f["codec"], ifWord)
	return condition.Read(text)
}

// milliseconds since 1970, or nothing for the zero time.
func milliseconds(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// fields are a command's hash.
type fields map[string]string

// fieldsOf reads HGETALL's answer in a script.
func fieldsOf(answer any) fields {
	flat := list(answer)
	f := make(fields, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		name, _ := flat[i].(string)
		f[name], _ = flat[i+1].(string)
	}
	return f
}

// entry reads what the scripts have written. What somebody else has spoilt is zero.
func (f fields) entry() command.Entry {
	e := command.Entry{
		Command: command.Command{
			ID: f["id"], IMEI: f["imei"], Codec: f.codec(), OnlyIf: f.onlyIf(), Payload: f.bytes("payload", "encoding"),
			Timeout: time.Duration(f.number("timeout_ms")) * time.Millisecond,
			Created: f.time("created"), Expires: f.time("expires_at"),
			Idempotent: f["idempotent"] == "true", Confirm: f["confirm"] == "true",
		},
		State: command.State(f["state"]), Attempts: int(f.number("attempts")),
		SentAt: f.time("sent_at"), Deadline: f.time("deadline"),
		FinishedAt: f.time("finished_at"), Reason: f["reason"], Instance: f["instance"],
	}
	e.Parked = e.State == command.Queued && f["at"] == "parked"
	if e.State == command.Answered || f["response"] != "" {
		encoding := command.Encoding(f["response_encoding"])
		e.Response, _ = command.DecodeResponse(f["response"], encoding, f["response_hex"])
	}
	return e
}

func (f fields) number(name string) int64 {
	n, _ := strconv.ParseInt(f[name], 10, 64)
	return n
}

func (f fields) time(name string) time.Time {
	if f[name] == "" {
		return time.Time{}
	}
	return time.UnixMilli(f.number(name)).UTC()
}

func (f fields) bytes(name, encoding string) []byte {
	b, _ := command.DecodePayload(f[name], command.Encoding(f[encoding]))
	return b
}
