package redisstream

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// The lanes speak RESP2. A command is an array of bulk strings:
//
//	*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$6\r\nsecret\r\n
//
// and an answer is a line that starts with its kind, which bytes or further answers may follow:
//
//	+OK\r\n   -ERR text\r\n   :42\r\n   $5\r\nhello\r\n   *2\r\n:1\r\n:0\r\n

// words are the parts of the XADDs that are the same for every item of a kind, up to and with the field name ts.
type words struct{ record, deadLetter, message []byte }

func newWords(stream string) words {
	start := func(key string, fields int) []byte {
		b := appendLength(nil, '*', len("XADD")-1+2*fields)
		b = appendBulk(b, "XADD")
		b = appendBulk(b, key)
		return append(b, "$1\r\n*\r\n$2\r\nts\r\n"...)
	}
	return words{
		record: start(stream, 4), deadLetter: start(deadStream(stream), 6), message: start(messageStream(stream), 6),
	}
}

// deadStream is the key of the dead letters' stream.
func deadStream(stream string) string { return stream + ":dead" }

// messageStream is the key of the messages' stream.
func messageStream(stream string) string { return stream + ":messages" }

// appendRecord appends XADD <stream> * ts … device_id … codec … payload ….
func (w *words) appendRecord(b []byte, r *engine.Record) []byte {
	b = append(b, w.record...)
	b = appendBulk(b, r.Time)
	b = append(b, "$9\r\ndevice_id\r\n"...)
	b = appendBulk(b, r.DeviceID)
	b = append(b, "$5\r\ncodec\r\n"...)
	b = appendBulk(b, r.Codec)
	b = append(b, "$7\r\npayload\r\n"...)
	return appendBulk(b, r.Payload)
}

// timeLayout is ISO 8601 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// appendDeadLetter appends XADD <stream>:dead * ts … device_id … reason … codec … frame <hex> transport ….
func (w *words) appendDeadLetter(b []byte, d *engine.DeadLetter) []byte {
	b = append(b, w.deadLetter...)
	b = appendTime(b, d.Received)
	b = append(b, "$9\r\ndevice_id\r\n"...)
	b = appendBulk(b, d.DeviceID)
	b = append(b, "$6\r\nreason\r\n"...)
	b = appendBulk(b, d.Reason)
	b = append(b, "$5\r\ncodec\r\n"...)
	b = appendBulk(b, d.Codec)
	b = append(b, "$5\r\nframe\r\n"...)
	b = appendHex(b, d.Frame)
	b = append(b, "$9\r\ntransport\r\n"...)
	return appendBulk(b, d.Transport)
}

// appendMessage appends XADD <stream>:messages * ts … device_id … codec … type … sent … payload <hex>.
func (w *words) appendMessage(b []byte, m *engine.Message) []byte {
	b = append(b, w.message...)
	b = appendTime(b, m.Received)
	b = append(b, "$9\r\ndevice_id\r\n"...)
	b = appendBulk(b, m.DeviceID)
	b = append(b, "$5\r\ncodec\r\n"...)
	b = appendBulk(b, m.Codec)
	b = append(b, "$4\r\ntype\r\n"...)
	b = appendBulk(b, strconv.Itoa(int(m.Type)))
	b = append(b, "$4\r\nsent\r\n"...)
	if m.Sent.IsZero() {
		b = appendBulk(b, "")
	} else {
		b = appendTime(b, m.Sent)
	}
	b = append(b, "$7\r\npayload\r\n"...)
	return appendHex(b, m.Payload)
}

func appendTime(b []byte, t time.Time) []byte {
	b = appendLength(b, '$', len(timeLayout))
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, "\r\n"...)
}

func appendHex(b, bytes []byte) []byte {
	b = appendLength(b, '$', hex.EncodedLen(len(bytes)))
	b = hex.AppendEncode(b, bytes)
	return append(b, "\r\n"...)
}

// appendCommand appends any command.
func appendCommand(b []byte, args ...string) []byte {
	b = appendLength(b, '*', len(args))
	for _, a := range args {
		b = appendBulk(b, a)
	}
	return b
}

func appendBulk[T string | []byte](b []byte, s T) []byte {
	b = appendLength(b, '$', len(s))
	b = append(b, s...)
	return append(b, "\r\n"...)
}

func appendLength(b []byte, kind byte, n int) []byte {
	b = append(b, kind)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, "\r\n"...)
}

// replyBuffer is the size of a lane's read buffer. Every answer that a lane reads fits; one that does not
// is an error, unless it is skipped.
const replyBuffer = 16 << 10

// maxBulk is the longest text that Redis has.
const maxBulk = 512 << 20

// reply is one answer, or the start of an array's.
type reply struct {
	kind byte   // one of + - : $ *
	n    int64  // of an integer: its value; of an array: its elements; else the text's length; -1 = null
	text []byte // of a simple string, an error and a bulk string; valid until the next read
}

// err is the refusal if the answer is one.
func (p reply) err() error {
	if p.kind == '-' {
		return refusal(p.text)
	}
	return nil
}

// readReply reads one answer, of an array its length only: its elements are the next answers.
func readReply(r *bufio.Reader) (reply, error) {
	line, err := readLine(r)
	if err != nil {
		return reply{}, err
	}
	p := reply{kind: line[0], text: line[1:], n: int64(len(line) - 1)}
	switch p.kind {
	case '+', '-':
		return p, nil
	case ':', '*', '$':
		if p.n, err = strconv.ParseInt(string(p.text), 10, 64); err != nil {
			return reply{}, fmt.Errorf("redis answered %q, which is no number", line)
		}
		p.text = nil
	default:
		return reply{}, fmt.Errorf("redis answered %q, which is not RESP2", line)
	}
	if p.kind == '$' && p.n >= 0 {
		p.text, err = readBulk(r, p.n)
	}
	return p, err
}

// readLine returns a line without its end, at least one byte.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, noEOF(err)
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("redis answered %q, which is not RESP2", line)
	}
	return line[:len(line)-2], nil
}

func readBulk(r *bufio.Reader, n int64) ([]byte, error) {
	if n > replyBuffer-2 {
		return nil, fmt.Errorf("redis answered with %d bytes, more than any answer expected", n)
	}
	b, err := r.Peek(int(n) + 2)
	if err != nil {
		return nil, noEOF(err)
	}
	if _, err = r.Discard(len(b)); err != nil {
		return nil, err
	}
	return b[:n], nil
}

// readValue reads a bulk string. It is nil if it is null, or longer than any that this version writes.
func readValue(r *bufio.Reader) ([]byte, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(string(line[1:]), 10, 64)
	switch {
	case err != nil || line[0] != '$' || n > maxBulk:
		return nil, fmt.Errorf("redis answered %q, which is no text", line)
	case n < 0:
		return nil, nil
	case n > replyBuffer-2:
		_, err = io.CopyN(io.Discard, r, n+2)
		return nil, noEOF(err)
	}
	return readBulk(r, n)
}

// skipReply reads over one answer, with all its elements.
func skipReply(r *bufio.Reader) error {
	line, err := readLine(r)
	if err != nil {
		return err
	}
	n := int64(0)
	if line[0] == '$' || line[0] == '*' {
		if n, err = strconv.ParseInt(string(line[1:]), 10, 64); err != nil {
			return fmt.Errorf("redis answered %q, which is no number", line)
		}
	}
	switch {
	case line[0] == '*':
		return skipElements(r, reply{kind: '*', n: n})
	case line[0] == '$' && n >= 0:
		_, err = io.CopyN(io.Discard, r, n+2)
	}
	return noEOF(err)
}

// skipElements reads over what follows an answer of which the length has been read.
func skipElements(r *bufio.Reader, answer reply) error {
	if answer.kind != '*' {
		return nil
	}
	for range answer.n {
		if err := skipReply(r); err != nil {
			return err
		}
	}
	return nil
}

// noEOF makes the end of a connection an error wherever an answer is due.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
