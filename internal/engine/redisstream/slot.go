package redisstream

import "strings"

// slotCount is how many parts the keys of a Redis Cluster are in.
const slotCount = 16384

// slotOf is the part that a key belongs to: CRC-16/XMODEM of what stands between its first braces, else of all of it.
func slotOf(key string) int {
	if _, behind, found := strings.Cut(key, "{"); found {
		if tag, _, closed := strings.Cut(behind, "}"); closed && tag != "" {
			key = tag
		}
	}
	crc := uint16(0)
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slotCount
}
