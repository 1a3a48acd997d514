package dictionary

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

func TestChanges(t *testing.T) {
	d, problems := Check(meaning.Embedded(), strings.Join([]string{
		"# own definitions",
		"imei:356307042441013\t9\t2\ttank.level\tnumber\t0\t0.05\t0\t%",
		"family:fmb\t11\t8\t-",
		"model:FMB640\t66\t2\texternal.powersource.voltage\tnumber\t0\t0.01\t\tV",
		"imei:3563*\t72\t1\t-",
		"*\t60001\t4\town.counter\tnumber",
		"family:fmb\t239\t1\tengine.ignition.status\tbool",
		"family:fmb\t200\t1\tsleep.mode\tenum\t\t\t\t\t0=awake",
	}, "\n"))
	if problems != nil {
		t.Fatal(problems)
	}
	var got []string
	for _, c := range Changes(meaning.Embedded(), d) {
		got = append(got, c.String())
	}
	for _, want := range []string{
		"line 2, imei:356307042441013: fmb, fmx6, tat, fm63, fm36, fm11 9/2: ain.1 → tank.level",
		"line 2, imei:356307042441013: ft 9/2: nothing → tank.level (known to be sent in width 4)",
		"line 3, family:fmb: fmb 11/8: gsm.sim.iccid.1 → nothing",
		"line 4, model:FMB640: fmx6 66/2: external.powersource.voltage number ×0.001 V → " +
			"external.powersource.voltage number ×0.01 V",
		"line 5, imei:3563*: fmb, tat, fm11 72/1: nothing → nothing (known to be sent in width 4)",
		"line 6, *: fmb, fmx6, tat, ft, fm63, fm36, fm11 60001/4: nothing → own.counter",
		"line 7, family:fmb: fmb 239/1: engine.ignition.status bool → the same",
		"line 8, family:fmb: fmb 200/1: sleep.mode enum → the same with other words or error codes",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("not said: %s\nin\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// TestAllProblems: each line that is wrong is told, and nothing of the others.
func TestAllProblems(t *testing.T) {
	_, problems := Check(meaning.Embedded(), strings.Join([]string{
		"match\tid\twidth\tname\ttype\tmultiplier",
		"*\t1\t1\ta.b\tnumber\tx",
		"*\t2\t1\tgood\tnumber",
		"*\tq\t1\ta.b\tnumber",
		"fmb\t3\t1\ta.b\tnumber",
		"*\t2\t1\tgood.too\tnumber",
	}, "\n"))
	var got []string
	for _, p := range problems {
		got = append(got, p.Error())
	}
	for i, want := range []string{"line 2, column multiplier: ", "line 4, column id: ", "line 5, column match: ",
		"line 6, column id: line 3 defines"} {
		if len(got) <= i || !strings.HasPrefix(got[i], want) {
			t.Errorf("%d: want %q in %q", i, want, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("%q", got)
	}
	if _, problems := Check(meaning.Embedded(), "match\tid\n*\tq\n"); len(problems) != 1 {
		t.Errorf("without its header the file cannot be read on: %v", problems)
	}
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "*\t%d\t3\ta\tnumber\n", i)
	}
	if _, problems := Check(meaning.Embedded(), many.String()); len(problems) != maxProblems {
		t.Errorf("%d problems", len(problems))
	}
	if d, problems := Check(meaning.Embedded(), ""); d != meaning.Embedded() || problems != nil {
		t.Errorf("an empty file: %v", problems)
	}
}
