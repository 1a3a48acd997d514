package deadletter

import (
	"errors"
	"fmt"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/pipeline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// publishedThen is the last timestamp, in ms since 1970 UTC, of the records that were published when a frame became a
// dead letter for its timestamps. That does not change with the limit of today.
const publishedThen = 253402300799999

// ErrNotStored is in the chain of Replay's error when the dead letter can be decoded and the engine failed. Its
// records may be stored later all the same; the next replay may then store them again.
var ErrNotStored = errors.New("not stored")

var errTooLong = errors.New("there is more than one frame in it")

// Replayer publishes the records and messages of dead letters. It is for one goroutine.
type Replayer struct {
	Publisher *publish.Publisher // nil: nothing is stored, only tried
	Raw       bool               // adds each record's bytes to its document

	// Meaning is what the device's elements are read with; nil: their meaning is left out. claimed: nobody vouches for
	// the IMEI, as in a datagram.
	Meaning func(imei string, claimed bool) *meaning.Device

	packet pipeline.Packet
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
	p := &r.packet
	if len(p.Messages) == 0 {
		p.Records = unpublished(l.Reason, p.Records)
		return r.store()
	}
	for part := range slices.Chunk(p.Messages, record.MaxMessages) {
		p.Messages = part
		stored, err := r.store()
		if err != nil {
			return outcome, err
		}
		outcome.Messages += stored.Messages
	}
	return outcome, nil
}

// decode has the dead letter at hand, decoded.
func (r *Replayer) decode(l *Letter) error {
	body, offset, err := l.dataField()
	if err != nil {
		return err
	}
	p := &r.packet
	p.Raw, p.MayDeadLetter = r.Raw, l.mayDeadLetter
	o := record.Origin{
		DeviceID: l.DeviceID, Codec: teltonika.Codec(body[0]), Received: l.Received, Transport: l.Transport,
	}
	if r.Meaning != nil {
		o.Meaning = r.Meaning(l.DeviceID, l.Transport == engine.UDP)
	}
	p.Hold(o, l.Frame, body, offset)
	return p.Decode()
}

// mayDeadLetter refuses to keep again what is kept for its timestamps already.
func (l *Letter) mayDeadLetter(lost error) error {
	if l.Reason == pipeline.ReasonTimestamp {
		return fmt.Errorf("record still cannot be published: %w", lost)
	}
	return nil
}

// store stores the packet's items, or only says what would become of them.
func (r *Replayer) store() (publish.Outcome, error) {
	if r.Publisher == nil {
		var tried publish.Frame
		err := r.packet.Encode(&tried)
		return publish.Outcome{
			Published: len(tried.Records), DeadLettered: len(tried.DeadLetters), Messages: len(tried.Messages),
		}, err
	}
	f, err := r.packet.Submit(r.Publisher, nil)
	switch {
	case errors.Is(err, record.ErrTimestamp):
		return publish.Outcome{}, err
	case err != nil:
		return publish.Outcome{}, fmt.Errorf("%w: %w", ErrNotStored, err)
	case f == nil:
		return publish.Outcome{}, nil
	}
	outcome, err := r.Publisher.Wait(f)
	if err != nil {
		return publish.Outcome{}, fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	return outcome, nil
}

// dataField is the data field of the frame or datagram, and where it begins.
func (l *Letter) dataField() (body []byte, offset int, err error) {
	if l.Transport == engine.UDP {
		d, err := teltonika.ParseDatagram(l.Frame)
		return d.Body, d.BodyOffset(), err
	}
	frame, err := wholeFrame(l.Frame)
	if err != nil {
		return nil, 0, err
	}
	return frame.Body(), teltonika.HeaderSize, nil
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
	if reason != pipeline.ReasonTimestamp {
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
