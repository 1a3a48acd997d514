package apitest

import (
	"reflect"
	"testing"
)

// TestStrictIsStricter: what other programs have to take is an error in the tests of the service.
func TestStrictIsStricter(t *testing.T) {
	const group = openAPI + "#/components/schemas/Group"
	const verdict = openAPI + "#/components/schemas/Verdict"
	for _, c := range []struct {
		ref, document   string
		strict, general bool
	}{
		{group, `{"name":"a"}`, true, true},
		{group, `{"name":"a","new":1}`, false, true},
		{group, `{"name":1}`, false, false},
		{group, `{}`, false, false},
		{verdict, `{"code":"fine","severity":"fine","text":"","rank":1}`, true, true},
		{verdict, `{"code":"new","severity":"fine","text":"","rank":1}`, false, true},
		{verdict, `{"code":"fine","severity":"new","text":"","rank":1}`, false, false},
	} {
		if err := Strict().Validate(c.ref, []byte(c.document)); (err == nil) != c.strict {
			t.Errorf("strictly: %s: %v", c.document, err)
		}
		if err := AsPublished().Validate(c.ref, []byte(c.document)); (err == nil) != c.general {
			t.Errorf("%s: %v", c.document, err)
		}
	}
}

// counting counts failures in place of a test.
type counting struct {
	testing.TB
	failures int
}

func (c *counting) Helper()               {}
func (c *counting) Errorf(string, ...any) { c.failures++ }

// TestCheckTypeFinds what is there and not in the document, and the other way round.
func TestCheckTypeFinds(t *testing.T) {
	type right struct {
		Name   string   `json:"name"`
		Lag    *float64 `json:"lag,omitempty"`
		Unread *float64 `json:"unread,omitempty"`
		Oldest float64  `json:"oldest_seconds,omitempty"`
	}
	type more struct {
		right
		New int `json:"new,omitempty"`
	}
	type less struct {
		Name string `json:"name"`
	}
	type optional struct {
		right
		Name string `json:"name,omitempty"`
	}
	type other struct {
		right
		Name int `json:"name"`
	}
	for of, want := range map[reflect.Type]int{
		reflect.TypeFor[right](): 0, reflect.TypeFor[more](): 1, reflect.TypeFor[less](): 3,
		reflect.TypeFor[optional](): 1, reflect.TypeFor[other](): 1,
	} {
		c := &counting{TB: t}
		Strict().CheckType(c, openAPI+"#/components/schemas/Group", of)
		if c.failures != want {
			t.Errorf("%s: %d failures, want %d", of, c.failures, want)
		}
	}
}
