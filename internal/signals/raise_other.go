//go:build !unix

package signals

import "os"

// raise ends the process, which is what all of these signals do where they cannot be sent.
func raise(os.Signal) { os.Exit(1) }
