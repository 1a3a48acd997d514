package command

// Refusal is why a command is not taken. The set is closed.
type Refusal string

// The refusals.
const (
	RefusedDenied  Refusal = "denied"         // the policy denies it
	RefusedConfirm Refusal = "confirm_needed" // the policy asks for Command.Confirm
	RefusedQueue   Refusal = "queue_full"     // too many commands wait for this device
)

// RefusedError is a command that is not taken.
type RefusedError struct {
	Reason Refusal
	Text   string
}

func (e *RefusedError) Error() string { return e.Text }
