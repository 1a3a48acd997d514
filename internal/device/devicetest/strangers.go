package devicetest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// RunStrangers runs the suite of stores of strangers. open returns a store of the same place each time within a test.
func RunStrangers(t *testing.T, open func(t *testing.T) stranger.Store) {
	for name, test := range map[string]func(*strangers){
		"what is saved is loaded": (*strangers).savedIsLoaded,
		"who is gone is not":      (*strangers).gone,
		"they are bounded":        (*strangers).bounded,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			test(&strangers{T: t, ctx: ctx, open: open})
		})
	}
}

type strangers struct {
	*testing.T
	ctx  context.Context
	open func(t *testing.T) stranger.Store
}

var start = time.UnixMilli(1_800_000_000_000)

func kept(n int) stranger.Kept {
	at := start.Add(time.Duration(n) * time.Second)
	text, _ := json.Marshal(&stranger.Stranger{At: at, Count: uint64(n), First: stranger.Bytes{0, 0xFF}})
	return stranger.Kept{ID: fmt.Sprintf("192.0.2.1 tcp silent %d", n), At: at, JSON: text}
}

func (s *strangers) save(store stranger.Store, gone []string, changed ...stranger.Kept) {
	s.Helper()
	if err := store.SaveStrangers(s.ctx, changed, gone); err != nil {
		s.Fatal(err)
	}
}

func (s *strangers) load(store stranger.Store) map[string]stranger.Kept {
	s.Helper()
	all, err := store.LoadStrangers(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	byID := make(map[string]stranger.Kept)
	for _, k := range all {
		byID[k.ID] = k
	}
	return byID
}

func (s *strangers) savedIsLoaded() {
	if n := len(s.load(s.open(s.T))); n != 0 {
		s.Fatalf("%d at first", n)
	}
	s.save(s.open(s.T), nil, kept(1), kept(2))
	again := kept(1)
	again.At = start.Add(time.Hour)
	s.save(s.open(s.T), nil, again)
	all := s.load(s.open(s.T))
	if got := all[again.ID]; len(all) != 2 || !got.At.Equal(again.At) || string(got.JSON) != string(again.JSON) {
		s.Errorf("%d, %+v", len(all), got)
	}
}

func (s *strangers) gone() {
	store := s.open(s.T)
	s.save(store, nil, kept(1), kept(2))
	s.save(store, []string{kept(1).ID, "unknown"})
	if all := s.load(store); len(all) != 1 || all[kept(2).ID].ID == "" {
		s.Errorf("%v", all)
	}
}

func (s *strangers) bounded() {
	store := s.open(s.T)
	for n := 0; n < stranger.Size+50; n += 50 {
		var some []stranger.Kept
		for i := range 50 {
			some = append(some, kept(n+i))
		}
		s.save(store, nil, some...)
	}
	all := s.load(store)
	if len(all) != stranger.Size || all[kept(49).ID].ID != "" || all[kept(50).ID].ID == "" {
		s.Errorf("%d are kept, or not the last ones", len(all))
	}
}
