package kafka

// partitionOf is the partition of a device's items, by the rule of Kafka's own clients: murmur2 of the key. So whoever
// reads the topic, or writes to it as well, can tell where a device is.
func partitionOf(deviceID string, partitions int) int32 {
	return int32(murmur2(deviceID)&0x7fffffff) % int32(partitions)
}

// murmur2 is the variant of Kafka's Java client.
func murmur2(key string) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> r
		h = h*m ^ k*m
	}
	for i := len(key) - 1; i >= 0; i-- {
		h ^= uint32(key[i]) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
