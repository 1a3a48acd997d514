package engine

import "testing"

// The values are those of another implementation of xxHash. They can never change: consumers count on them, and so does
// what is stored.
func TestShardOf(t *testing.T) {
	for device, want := range map[string][4]int{
		"356307042441013": {0, 3, 3, 35}, "350000000000000": {0, 0, 4, 56}, "350000000000001": {0, 1, 9, 17},
		"A": {0, 4, 8, 4},
	} {
		for i, shards := range []int{1, 8, 12, 64} {
			if got := ShardOf(device, shards); got != want[i] {
				t.Errorf("%s is in shard %d of %d, want %d", device, got, shards, want[i])
			}
		}
	}
}
