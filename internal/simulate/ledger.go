package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Ledger is the account of a run.
type Ledger struct {
	Devices         int    `json:"devices"`
	Seed            uint64 `json:"seed"`
	Connections     int64  `json:"connections"`      // that were opened and whose login was accepted; over UDP, sockets
	ConnectFailures int64  `json:"connect_failures"` // connections that could not be opened or ended during the login
	LoginsRefused   int64  `json:"logins_refused"`

	// HandshakeFailures are TLS connections that did not come about, or whose client certificate was refused. They
	// are not among ConnectFailures.
	HandshakeFailures int64 `json:"tls_handshake_failures"`

	GivenUp int64 `json:"devices_given_up"` // that stayed away after eight refusals in a row

	FramesSent          int64 `json:"frames_sent"` // each counted once, however often it was sent
	FramesAcknowledged  int64 `json:"frames_acknowledged"`
	FramesResent        int64 `json:"frames_resent"` // transmissions after a frame's first
	RecordsSent         int64 `json:"records_sent"`
	RecordsAcknowledged int64 `json:"records_acknowledged"`
	RecordsResent       int64 `json:"records_resent"`

	NoAnswer     int64 `json:"frames_no_answer"`     // transmissions that were not answered within the response timeout
	Interrupted  int64 `json:"frames_interrupted"`   // transmissions whose connection ended before the answer
	WrongAnswers int64 `json:"wrong_answers"`        // answers that no correct server gives
	NotRecorded  int64 `json:"records_not_recorded"` // the rate's records that a device behind schedule had no room for
	KeepAlives   int64 `json:"keep_alives"`
	BytesSent    int64 `json:"bytes_sent"` // in frames of records

	CommandsReceived    int64 `json:"commands_received"`
	CommandsAnswered    int64 `json:"commands_answered"` // each counted once
	CommandsNacked      int64 `json:"commands_nacked"`
	CommandsOverlapping int64 `json:"commands_overlapping"` // received while the answer to one before was still to be sent
	AnswersCopied       int64 `json:"answers_copied"`       // answers that were sent once more
	MessagesSent        int64 `json:"messages_sent"`        // of the devices' own accord
	MessagesConfirmed   int64 `json:"messages_confirmed"`   // of them, those before a frame that was acknowledged there

	// Datagrams of both directions, as the options wanted it, and answers to a transmission of a frame that another answer
	// had acknowledged already.
	DatagramsLost    int64 `json:"datagrams_lost"`
	DatagramsCopied  int64 `json:"datagrams_copied"`
	DatagramsDelayed int64 `json:"datagrams_delayed"` // copies counted apart
	AnswersLate      int64 `json:"answers_late"`

	Elapsed time.Duration `json:"-"` // of the whole run
	Active  time.Duration `json:"-"` // from the first frame sent to the last ACK
	Latency Latency       `json:"-"`

	LastFailure string `json:"last_failure,omitempty"` // why the latest connection failed or broke
}

// Latency is the time from a frame sent to its ACK received. Quantiles are at most 1/32 too high.
type Latency struct{ P50, P90, P99, P999, Max time.Duration }

// Unacknowledged is how many records were sent and not acknowledged when the run ended.
func (l *Ledger) Unacknowledged() int64 { return l.RecordsSent - l.RecordsAcknowledged }

// CommandsUnanswered is how many commands were received and neither answered nor refused with a nACK.
func (l *Ledger) CommandsUnanswered() int64 {
	return l.CommandsReceived - l.CommandsAnswered - l.CommandsNacked
}

// OK reports whether records were sent or commands received, all records that were sent are acknowledged, every answer
// was right and no device has given up.
func (l *Ledger) OK() bool {
	return l.RecordsSent+l.CommandsReceived > 0 && l.Unacknowledged() == 0 && l.WrongAnswers == 0 && l.GivenUp == 0
}

// RecordsPerSecond is the rate of acknowledged records while the run was active.
func (l *Ledger) RecordsPerSecond() float64 {
	if l.Active <= 0 {
		return 0
	}
	return float64(l.RecordsAcknowledged) / l.Active.Seconds()
}

func (f *fleet) ledger() Ledger {
	m := f.meter
	latency := m.latencies()
	return Ledger{
		Devices:             f.options.Devices,
		Seed:                f.options.Seed,
		Connections:         m.sum(connections),
		ConnectFailures:     m.sum(connectFailures),
		HandshakeFailures:   m.sum(handshakeFailures),
		LoginsRefused:       m.sum(loginsRefused),
		GivenUp:             m.sum(givenUp),
		FramesSent:          m.sum(framesSent),
		FramesAcknowledged:  m.sum(framesAcknowledged),
		FramesResent:        m.sum(framesResent),
		RecordsSent:         m.sum(recordsSent),
		RecordsAcknowledged: m.sum(recordsAcknowledged),
		RecordsResent:       m.sum(recordsResent),
		NoAnswer:            m.sum(noAnswer),
		Interrupted:         m.sum(interrupted),
		WrongAnswers:        m.sum(wrongAnswers),
		NotRecorded:         m.sum(notRecorded),
		KeepAlives:          m.sum(keepAlives),
		BytesSent:           m.sum(bytesSent),
		CommandsReceived:    m.sum(commandsReceived),
		CommandsAnswered:    m.sum(commandsAnswered),
		CommandsNacked:      m.sum(commandsNacked),
		CommandsOverlapping: m.sum(commandsOverlapping),
		AnswersCopied:       m.sum(answersCopied),
		MessagesSent:        m.sum(messagesSent),
		MessagesConfirmed:   m.sum(messagesConfirmed),
		DatagramsLost:       m.sum(datagramsLost),
		DatagramsCopied:     m.sum(datagramsCopied),
		DatagramsDelayed:    m.sum(datagramsDelayed),
		AnswersLate:         m.sum(answersLate),
		Elapsed:             time.Since(m.start),
		Active:              m.active(),
		Latency: Latency{
			P50: latency.quantile(0.50), P90: latency.quantile(0.90), P99: latency.quantile(0.99),
			P999: latency.quantile(0.999), Max: latency.max,
		},
		LastFailure: f.lastFailure(),
	}
}

// MarshalJSON adds what is computed, and durations in the unit that their name says.
func (l Ledger) MarshalJSON() ([]byte, error) {
	type counted Ledger
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(struct {
		counted
		Unacknowledged     int64              `json:"records_unacknowledged"`
		CommandsUnanswered int64              `json:"commands_unanswered"`
		OK                 bool               `json:"ok"`
		ElapsedSeconds     float64            `json:"elapsed_seconds"`
		ActiveSeconds      float64            `json:"active_seconds"`
		RecordsPerSecond   float64            `json:"records_per_second"`
		LatencyMS          map[string]float64 `json:"latency_ms"`
	}{
		counted(l), l.Unacknowledged(), l.CommandsUnanswered(), l.OK(), l.Elapsed.Seconds(), l.Active.Seconds(),
		l.RecordsPerSecond(),
		map[string]float64{
			"p50": ms(l.Latency.P50), "p90": ms(l.Latency.P90), "p99": ms(l.Latency.P99),
			"p99.9": ms(l.Latency.P999), "max": ms(l.Latency.Max),
		},
	})
}

// WriteText writes the ledger for people.
func (l *Ledger) WriteText(w io.Writer) error {
	seconds := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	short := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	_, err := fmt.Fprintf(w, `devices       %d
connections   %d, %d failed, %s refused, %s given up
frames        %d sent, %d acknowledged, %d sent again
records       %d sent, %d acknowledged, %d sent again, %d unacknowledged, %d not recorded
unanswered    %s timed out, %d interrupted
wrong answers %d
bytes         %d sent, %s
time          %v, of which %v between the first frame and the last ACK
rate          %.0f records/s acknowledged
latency       p50 %v, p90 %v, p99 %v, p99.9 %v, max %v
seed          %d
duplicates    what is stored already is acknowledged and not stored again: what was sent again (%s),
              and what another run with the same seed has sent
`,
		l.Devices,
		l.Connections, l.ConnectFailures, plural(l.LoginsRefused, "login"), plural(l.GivenUp, "device"),
		l.FramesSent, l.FramesAcknowledged, l.FramesResent,
		l.RecordsSent, l.RecordsAcknowledged, l.RecordsResent, l.Unacknowledged(), l.NotRecorded,
		plural(l.NoAnswer, "frame"), l.Interrupted,
		l.WrongAnswers,
		l.BytesSent, plural(l.KeepAlives, "keep-alive"),
		seconds(l.Elapsed), seconds(l.Active),
		l.RecordsPerSecond(),
		short(l.Latency.P50), short(l.Latency.P90), short(l.Latency.P99), short(l.Latency.P999), short(l.Latency.Max),
		l.Seed, plural(l.RecordsResent, "record"))
	if err == nil && l.CommandsReceived+l.MessagesSent > 0 {
		_, err = fmt.Fprintf(w, "commands      %d received, %d answered, %d answered twice, %d nACKed, "+
			"%d unanswered, %d overlapping\nmessages      %d sent, %d before a frame that was acknowledged\n",
			l.CommandsReceived, l.CommandsAnswered, l.AnswersCopied, l.CommandsNacked, l.CommandsUnanswered(),
			l.CommandsOverlapping, l.MessagesSent, l.MessagesConfirmed)
	}
	if err == nil && l.HandshakeFailures > 0 {
		_, err = fmt.Fprintf(w, "handshakes    %d failed\n", l.HandshakeFailures)
	}
	if err == nil && l.DatagramsLost+l.DatagramsCopied+l.DatagramsDelayed+l.AnswersLate > 0 {
		_, err = fmt.Fprintf(w, "datagrams     %d lost, %d copied, %d delayed on purpose, %s late\n",
			l.DatagramsLost, l.DatagramsCopied, l.DatagramsDelayed, plural(l.AnswersLate, "answer"))
	}
	if err == nil && l.LastFailure != "" {
		_, err = fmt.Fprintf(w, "last failure  %s\n", l.LastFailure)
	}
	return err
}

// plural is a number and its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
