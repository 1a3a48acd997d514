package deadletter

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// reasonTimestamp is the reason of a frame of which only some records are missing: those with a timestamp beyond
// publishedThen, in ms since 1970 UTC. The others were published when the frame came; that does not change with the
// limit of today.
const (
	reasonTimestamp = "timestamp"
	publishedThen   = 253402300799999
)

// ErrNotStored is in the chain of Replay's error when the dead letter can be decoded and the engine failed. Its
// records may be stored later all the same; the next replay may then store them again.
var ErrNotStored = errors.New("not stored")

var errTooLong = errors.New("there is more than one frame in it")

// Replayer publishes the records and messages of dead letters. It is for one goroutine.
type Replayer struct {
	Publisher *publish.Publisher // nil: nothing is stored, only tried
	Raw       bool               // adds each record's bytes to its document

	data     teltonika.AVLData
	messages teltonika.Messages
	encoder  record.Encoder
}

// Replay decodes the dead letter with today's code and stores those of its records that have not been published
// yet, with the time at which the frame was received. As in a session, a frame with a record whose timestamp cannot
// be published becomes a dead letter for that reason, and its other records are published.
//
// Without an error everything in the dead letter is stored, and it may be removed. An error says why it has to stay.
func (r *Replayer) Replay(l *Letter) (outcome publish.Outcome, err error) {
	if err := r.decode(l); err != nil {
		return outcome, err
	}
	missing := unpublished(l.Reason, r.data.Records)
	if r.messages.Codec == 0 {
		return r.publish(l, len(missing), func(f *publish.Frame) error { return r.fill(f, l, missing) })
	}
	origin := record.Origin{DeviceID: l.DeviceID, Codec: r.messages.Codec, Received: l.Received}
	for part := range slices.Chunk(r.messages.Messages, record.MaxMessages) {
		stored, err := r.publish(l, len(part), func(f *publish.Frame) error {
			f.Buffer, f.Messages = record.AppendMessages(f.Buffer, f.Messages, origin, part)
			return nil
		})
		if err != nil {
			return outcome, err
		}
		outcome.Messages += stored.Messages
	}
	return outcome, nil
}

// publish stores what fill puts into a frame with room for n items, or only says what would become of it.
func (r *Replayer) publish(l *Letter, n int, fill func(*publish.Frame) error) (publish.Outcome, error) {
	if r.Publisher == nil {
		var tried publish.Frame
		err := fill(&tried)
		return publish.Outcome{
			Published: len(tried.Records), DeadLettered: len(tried.DeadLetters), Messages: len(tried.Messages),
		}, err
	}
	f, err := r.Publisher.Admit(l.DeviceID, max(1, n))
	if err != nil {
		return publish.Outcome{}, fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	if err := fill(f); err != nil {
		r.Publisher.Discard(f)
		return publish.Outcome{}, err
	}
	outcome, err := r.Publisher.Publish(f)
	if err != nil {
		return publish.Outcome{}, fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	return outcome, nil
}

// decode does what a session does with a frame. The result is valid as long as the frame.
func (r *Replayer) decode(l *Letter) error {
	r.messages, r.data.Records = teltonika.Messages{}, r.data.Records[:0]
	body, offset, err := l.dataField()
	if err != nil {
		return err
	}
	if teltonika.Codec(body[0]).IsMessage() {
		err = r.messages.Decode(body)
	} else {
		err = r.data.Decode(body)
	}
	if err != nil {
		return teltonika.Shift(err, offset)
	}
	return nil
}

// dataField is the data field of a frame or datagram, and where it begins. Of one that was kept before there was a
// transport, what is no frame may be a datagram; both may begin with zeros.
func (l *Letter) dataField() (body []byte, offset int, err error) {
	if l.Transport != engine.UDP {
		var frame teltonika.Frame
		if frame, err = wholeFrame(l.Frame); err == nil {
			return frame.Body(), teltonika.HeaderSize, nil
		}
	}
	if l.Transport != engine.TCP {
		d, failed := teltonika.ParseDatagram(l.Frame)
		if failed == nil {
			return d.Body, d.BodyOffset(), nil
		}
		err = cmp.Or(err, failed)
	}
	return nil, 0, err
}

func wholeFrame(b []byte) (teltonika.Frame, error) {
	frame, rest, err := teltonika.ParseFrame(b, len(b))
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errTooLong
	}
	return frame, frame.Verify()
}

// unpublished are those of the frame's records that were not published when it came.
func unpublished(reason string, records []teltonika.Record) []teltonika.Record {
	if reason != reasonTimestamp {
		return records
	}
	var missing []teltonika.Record
	for _, r := range records {
		if r.Timestamp > publishedThen {
			missing = append(missing, r)
		}
	}
	return missing
}

// fill encodes the records into f.
func (r *Replayer) fill(f *publish.Frame, l *Letter, records []teltonika.Record) error {
	codec := r.data.Codec
	r.encoder.Raw = r.Raw
	r.encoder.Begin(record.Origin{DeviceID: l.DeviceID, Codec: codec, Received: l.Received})
	var impossible error
	for i := range records {
		var err error
		if f.Buffer, f.Records, err = r.encoder.Append(f.Buffer, f.Records, &records[i]); err != nil {
			impossible = err
		}
	}
	if impossible == nil {
		return nil
	}
	if l.Reason == reasonTimestamp {
		return fmt.Errorf("record still cannot be published: %w", impossible)
	}
	start := len(f.Buffer)
	f.Buffer = append(f.Buffer, l.Frame...) // it may outlive our wait
	f.DeadLetters = append(f.DeadLetters, engine.DeadLetter{
		DeviceID: l.DeviceID, Codec: codec.String(), Reason: reasonTimestamp, Received: l.Received,
		Transport: l.Transport, Frame: f.Buffer[start:len(f.Buffer):len(f.Buffer)],
	})
	return nil
}
