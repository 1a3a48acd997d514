package kafka

import (
	"fmt"
	"time"
)

func (s *single) debug() {
	for d := range s.fleet.lastACK {
		if !s.waits(d) {
			p := partitionOf(deviceName(d), 12)
			l := s.e.lanes[s.e.Lane(deviceName(d))]
			fmt.Println(d, "partition", p, "lane", s.e.Lane(deviceName(d)), "last", time.Since(time.Unix(0, s.fleet.lastACK[d].Load())), "open", l.open, "todo", len(l.todo), "left", l.left.Load(), "gaveUp", l.gaveUp)
		}
	}
	fmt.Println(s.down)
	st, err := s.e.Probe(s.e.closing)
	fmt.Printf("%+v %v\n", st.Shards, err)
	fmt.Println("shards", s.e.shards, "publisher", s.fleet.publisher.Queued(), s.fleet.publisher.Err())
}
