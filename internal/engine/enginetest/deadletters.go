package enginetest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var deadLetterCases = []testCase{
	{"of nothing", noDeadLetters},
	{"shown in order", deadLettersInOrder},
	{"removed", deadLettersRemoved},
	{"removed while shown", deadLettersRemovedWhileShown},
	{"a ref is never used again", deadLetterRefs},
	{"what is no ref", deadLetterNoRef},
	{"ended by its function", deadLettersEnded},
	{"of a broken store", deadLettersBroken},
}

// shown is one dead letter as EachDeadLetter shows it, with a frame of the test's own.
type shown struct {
	ref string
	engine.DeadLetter
}

func showDeadLetters(t *testing.T, e engine.Engine) (all []shown) {
	t.Helper()
	err := e.(engine.DeadLetterStore).EachDeadLetter(t.Context(), func(ref string, d engine.DeadLetter) error {
		d.Frame = bytes.Clone(d.Frame)
		all = append(all, shown{ref, d})
		return nil
	})
	if err != nil {
		t.Fatalf("show dead letters: %v", err)
	}
	return all
}

// storeDead stores the device's dead letters first to first+count-1.
func storeDead(t *testing.T, e engine.Engine, first, count int) (stored []engine.DeadLetter) {
	t.Helper()
	for n := first; n < first+count; n++ {
		stored = append(stored, NewDeadLetter(deviceA, n))
	}
	storeNew(t, e, Sized(&engine.Batch{DeadLetters: stored}))
	return stored
}

func wantShown(t *testing.T, got []shown, want []engine.DeadLetter) {
	t.Helper()
	got, want = inOrder(got, func(s shown) string { return s.DeviceID }), inOrder(want, deadDevice)
	if len(got) != len(want) {
		t.Fatalf("%d dead letters are shown, want %d", len(got), len(want))
	}
	refs := map[string]bool{}
	for i, g := range got {
		w := want[i]
		if g.DeviceID != w.DeviceID || g.Codec != w.Codec || g.Reason != w.Reason ||
			!g.Received.Equal(w.Received) || !bytes.Equal(g.Frame, w.Frame) || g.Transport != w.Transport {
			t.Fatalf("dead letter %d is\n%+v, want\n%+v", i, g, w)
		}
		if g.ref == "" || refs[g.ref] {
			t.Fatalf("dead letter %d has the ref %q, like another one or like nothing", i, g.ref)
		}
		refs[g.ref] = true
	}
}

func remove(t *testing.T, e engine.Engine, refs ...string) {
	t.Helper()
	if err := e.(engine.DeadLetterStore).RemoveDeadLetters(t.Context(), refs); err != nil {
		t.Fatalf("remove dead letters: %v", err)
	}
}

func noDeadLetters(t *testing.T, h Harness) {
	e := open(t, h)
	wantShown(t, showDeadLetters(t, e), nil)
	remove(t, e)
	storeNew(t, e, NewBatch(deviceA, 0, 3))
	wantShown(t, showDeadLetters(t, e), nil)
}

// deadLettersInOrder has more than any engine reads at once, and a large one among them.
func deadLettersInOrder(t *testing.T, h Harness) {
	e := open(t, h)
	stored := storeDead(t, e, 0, 100)
	large := NewDeadLetter(deviceB, 100)
	large.Frame = bytes.Repeat([]byte{0xa5}, 64<<10)
	storeNew(t, e, Sized(&engine.Batch{DeadLetters: []engine.DeadLetter{large}}))
	stored = append(append(stored, large), storeDead(t, e, 101, 28)...)
	first := showDeadLetters(t, e)
	wantShown(t, first, stored)
	for i, again := range showDeadLetters(t, e) {
		if again.ref != first[i].ref {
			t.Fatalf("dead letter %d was %q and is %q", i, first[i].ref, again.ref)
		}
	}
}

func deadLettersRemoved(t *testing.T, h Harness) {
	e := open(t, h)
	stored := storeDead(t, e, 0, 40)
	refs := showDeadLetters(t, e)
	remove(t, e, refs[0].ref, refs[20].ref, refs[39].ref)
	left := append(append([]engine.DeadLetter{}, stored[1:20]...), stored[21:39]...)
	wantShown(t, showDeadLetters(t, e), left)
	wantDeadLetters(t, h, left...)
	remove(t, e, refs[0].ref, refs[1].ref) // the first is gone already
	wantDeadLetters(t, h, left[1:]...)
}

// deadLettersRemovedWhileShown is what a replay does. What comes meanwhile is not shown.
func deadLettersRemovedWhileShown(t *testing.T, h Harness) {
	e := open(t, h)
	stored := storeDead(t, e, 0, 50)
	seen, kept, added := 0, []engine.DeadLetter{}, []engine.DeadLetter{}
	err := e.(engine.DeadLetterStore).EachDeadLetter(t.Context(), func(ref string, d engine.DeadLetter) error {
		if !bytes.Equal(d.Frame, stored[seen].Frame) {
			t.Fatalf("dead letter %d is %+v", seen, d)
		}
		seen++
		if seen%5 == 0 {
			kept = append(kept, stored[seen-1])
			return nil
		}
		late := NewBatch(deviceB, seen, 1)
		late.DeadLetters = []engine.DeadLetter{NewDeadLetter(deviceB, seen)}
		storeNew(t, e, Sized(late))
		added = append(added, late.DeadLetters...)
		return e.(engine.DeadLetterStore).RemoveDeadLetters(t.Context(), []string{ref})
	})
	if err != nil || seen != len(stored) {
		t.Errorf("%d dead letters shown, want %d: %v", seen, len(stored), err)
	}
	wantDeadLetters(t, h, append(kept, added...)...)
}

// deadLetterRefs removes the newest ones, also in an earlier life.
func deadLetterRefs(t *testing.T, h Harness) {
	used := map[string]bool{}
	for life := range 3 {
		e := h.Open(t)
		for round := range 2 {
			storeDead(t, e, 10*life+5*round, 3)
			for _, d := range showDeadLetters(t, e) {
				if used[d.ref] {
					t.Errorf("%q names another dead letter now", d.ref)
				}
				used[d.ref] = true
				remove(t, e, d.ref)
			}
		}
		closeEngine(t, e)
	}
	wantDeadLetters(t, h)
}

func deadLetterNoRef(t *testing.T, h Harness) {
	e := open(t, h)
	stored := storeDead(t, e, 0, 2)
	for _, ref := range []string{"", "-", "+", "x", "*", "-1", "1-x", "1 OR 1=1", "99999999999999999999999"} {
		if err := e.(engine.DeadLetterStore).RemoveDeadLetters(t.Context(),
			[]string{showDeadLetters(t, e)[0].ref, ref}); err == nil {
			t.Errorf("%q is taken for a ref", ref)
		} else if checkTyped(t, err); engine.IsTransient(err) {
			t.Errorf("%q shall be tried again: %v", ref, err)
		}
	}
	wantDeadLetters(t, h, stored...)
}

func deadLettersEnded(t *testing.T, h Harness) {
	e := open(t, h)
	storeDead(t, e, 0, 40)
	enough := errors.New("seen enough")
	seen := 0
	err := e.(engine.DeadLetterStore).EachDeadLetter(t.Context(), func(string, engine.DeadLetter) error {
		if seen++; seen == 20 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen != 20 {
		t.Errorf("%d dead letters shown, then %v", seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen = 0
	err = e.(engine.DeadLetterStore).EachDeadLetter(ctx, func(string, engine.DeadLetter) error {
		seen++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || seen != 1 {
		t.Errorf("%d dead letters shown after the context's end, then %v", seen, err)
	}
}

// deadLettersBroken wants the removal refused and nothing lost; whether a broken store can still be
// read is its own matter.
func deadLettersBroken(t *testing.T, h Harness) {
	e := open(t, h)
	stored := storeDead(t, e, 0, 3)
	ref := showDeadLetters(t, e)[0].ref
	h.Break(t)
	ctx, cancel := context.WithTimeout(t.Context(), storeLimit)
	defer cancel()
	wantTransient(t, e.(engine.DeadLetterStore).RemoveDeadLetters(ctx, []string{ref}))
	h.Heal(t)
	testkit.Succeeds(t, "removal after the cure", recoverLimit, func() error {
		return e.(engine.DeadLetterStore).RemoveDeadLetters(t.Context(), []string{ref})
	})
	wantDeadLetters(t, h, stored[1:]...)
}
