package engine

import "github.com/cespare/xxhash/v2"

// ShardOf is where a device's items are in an engine of so many shards: xxHash64 (seed 0) of its id, modulo their
// number. Consumers rely on the rule, so it never changes.
func ShardOf(deviceID string, shards int) int {
	return int(xxhash.Sum64String(deviceID) % uint64(shards))
}
