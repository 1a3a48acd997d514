package testkit

import (
	"bytes"
	"runtime"
	"time"
)

// lateDial is a go-redis goroutine that outlives its closed client: after failed dials it tries again every second, and
// looks whether the client is closed only in between.
const lateDial = "pool.(*ConnPool).tryDial("

// lateDialLimit is more than a pause of lateDial and a dial that times out take together.
const lateDialLimit = 10 * time.Second

// Tests is a *testing.M.
type Tests interface{ Run() int }

// AfterDials runs the tests and then waits for the goroutines with which closed go-redis clients still dial, so that a
// leak check may follow. A goroutine that has not ended within 10 s is left to that check.
func AfterDials(m Tests) Tests { return afterDials{m} }

type afterDials struct{ tests Tests }

func (a afterDials) Run() int {
	code := a.tests.Run()
	for end := time.Now().Add(lateDialLimit); dialsLate() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	return code
}

func dialsLate() bool {
	stacks := make([]byte, 1<<20)
	return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte(lateDial))
}
