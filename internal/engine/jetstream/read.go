package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// Headers of what a server shows of a stream, beside those that the messages have.
const (
	readSubject  = "Nats-Subject"
	readSequence = "Nats-Sequence"
)

// readBytes is about how much is read at once.
const readBytes = 1 << 20

// readRequest is what is asked of any of a stream's servers: messages from a sequence on, or the last ones of subjects.
type readRequest struct {
	Sequence uint64   `json:"seq,omitempty"`
	Subject  string   `json:"next_by_subj,omitempty"`
	Count    int      `json:"batch,omitempty"`
	Bytes    int      `json:"max_bytes,omitempty"`
	Last     []string `json:"multi_last,omitempty"`
}

// What a server says at the end of its answer.
const (
	statusEnd  = "204"
	statusNone = "404"
)

// read returns the messages, and whether there are none of this kind behind them.
func (l *link) read(ctx context.Context, stream string, r readRequest) (all []*nats.Msg, end bool, err error) {
	ctx, cancel := l.during(ctx, askPatience)
	defer cancel()
	inbox := l.conn.NewInbox()
	answers, err := l.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	question, err := json.Marshal(r)
	if err != nil {
		return nil, false, err
	}
	if err := l.conn.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, question); err != nil {
		return nil, false, err
	}
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, explained(ctx, err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			all = append(all, m)
		case statusEnd:
			return all, m.Header.Get("Nats-Num-Pending") == "0", nil
		case statusNone:
			return nil, true, nil
		default:
			return nil, false, fmt.Errorf("nats: %s %s", status, m.Header.Get("Description"))
		}
	}
}

func sequenceOf(m *nats.Msg) uint64 {
	n, _ := strconv.ParseUint(m.Header.Get(readSequence), 10, 64)
	return n
}

// stored is a message as the leader has it.
type stored struct {
	Message *struct {
		Header []byte `json:"hdrs"`
	} `json:"message"`
	Error *struct {
		Code int `json:"err_code"`
	} `json:"error"`
}

// batchOf asks the leader for the atomic batch of a stored message; there is false if there is no such message.
func (l *link) batchOf(ctx context.Context, stream string, sequence uint64) (id string, there bool, err error) {
	question := &nats.Msg{
		Subject: "$JS.API.STREAM.MSG.GET." + stream, Data: fmt.Appendf(nil, `{"seq":%d}`, sequence),
	}
	answer, err := l.ask(ctx, question, askPatience)
	if err != nil {
		return "", false, err
	}
	var s stored
	if err := json.Unmarshal(answer.Data, &s); err != nil {
		return "", false, err
	}
	switch {
	case s.Error != nil && s.Error.Code == codeNoMessage:
		return "", false, nil
	case s.Message == nil:
		return "", false, errors.New("the leader does not show a message")
	}
	header, err := nats.DecodeHeadersMsg(s.Message.Header)
	if err != nil {
		return "", false, err
	}
	return header.Get(headerBatch), true, nil
}
