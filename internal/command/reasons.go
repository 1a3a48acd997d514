package command

// Why commands end, in the words of every store. More than these are found out by whoever carries a command out.
const (
	ReasonOtherDevice  = "the device has another IMEI than the command names" // Nacked
	ReasonNoAnswer     = "no answer in time"                                  // TimedOut
	ReasonNotConnected = "the device was not connected in time"               // Expired
	ReasonNoTurn       = "its turn did not come in time"                      // Expired, with its device connected
	ReasonTakenBack    = "taken back by its sender"                           // Cancelled
)
