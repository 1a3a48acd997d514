package command

// Why commands end, in the words of every store. Whoever carries a command out has more reasons.
const (
	ReasonOtherDevice  = "the device has another IMEI than the command names" // Nacked
	ReasonNoAnswer     = "no answer in time"                                  // TimedOut
	ReasonNotConnected = "the device was not connected in time"               // Expired
	ReasonNoLease      = "its turn did not come in time"                      // Expired, with its device connected
	ReasonTakenBack    = "taken back by its sender"                           // Cancelled
	ReasonUnreachable  = "the device sends datagrams (UDP), by which no command can be sent, and was never connected"
	ReasonTooMany      = "too many commands wait for this device" // Failed or refused: MaxOpenOfDevice
	ReasonTooManyInAll = "too many commands wait in all"          // Failed or refused: MaxOpen
)

// ReasonDeliveryUnknown is why a command Failed whose instance died before it had a result. The device may have
// executed it.
const ReasonDeliveryUnknown = "delivery unknown"
