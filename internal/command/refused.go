package command

// Refusal is why a command is not taken. The set is closed.
type Refusal string

// The refusals.
const (
	RefusedDenied  Refusal = "denied"         // the policy denies it
	RefusedConfirm Refusal = "confirm_needed" // the policy asks for Command.Confirm
	RefusedQueue   Refusal = "queue_full"     // too many commands wait for this device
	RefusedStore   Refusal = "store_full"     // too many commands wait in all
	RefusedUDP     Refusal = "udp_only"       // no command can reach the device
)

// RefusedError is a command that is not taken.
type RefusedError struct {
	Reason Refusal
	Text   string
}

func (e *RefusedError) Error() string { return e.Text }

// tooMany are the words for a full store.
var tooMany = map[Refusal]string{RefusedQueue: ReasonTooMany, RefusedStore: ReasonTooManyInAll}

// TooMany is a store's refusal of a command for RefusedQueue or RefusedStore.
func TooMany(r Refusal) *RefusedError { return &RefusedError{Reason: r, Text: tooMany[r]} }
