package simulate

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Range is a number of records, drawn evenly from Min to Max.
type Range struct{ Min, Max int }

func (r Range) String() string {
	if r.Min == r.Max {
		return strconv.Itoa(r.Min)
	}
	return fmt.Sprintf("%d-%d", r.Min, r.Max)
}

// ParseRange reads "10" or "1-35".
func ParseRange(s string) (Range, error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	minimum, err1 := strconv.Atoi(low)
	maximum, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || minimum > maximum {
		return Range{}, fmt.Errorf("%q is neither a number nor a range like 1-35", s)
	}
	return Range{Min: minimum, Max: maximum}, nil
}

// DurationRange is a time, drawn evenly from Min to Max.
type DurationRange struct{ Min, Max time.Duration }

func (r DurationRange) String() string {
	if r.Min == r.Max {
		return r.Min.String()
	}
	return fmt.Sprintf("%v-%v", r.Min, r.Max)
}

// ParseDurationRange reads "2s" or "50ms-2s".
func ParseDurationRange(s string) (DurationRange, error) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	minimum, err1 := time.ParseDuration(low)
	maximum, err2 := time.ParseDuration(high)
	if err1 != nil || err2 != nil || minimum > maximum {
		return DurationRange{}, fmt.Errorf("%q is neither a duration nor a range like 50ms-2s", s)
	}
	return DurationRange{Min: minimum, Max: maximum}, nil
}

// Mix says which part of the fleet speaks which codec.
type Mix []CodecShare

// CodecShare is one codec's part: its weight divided by the sum of all weights.
type CodecShare struct {
	Codec  teltonika.Codec
	Weight int
}

// ParseMix reads "8:80,8E:15,16:5". A codec without a weight has weight 1.
func ParseMix(s string) (Mix, error) {
	var mix Mix
	for part := range strings.SplitSeq(s, ",") {
		name, weight, hasWeight := strings.Cut(strings.TrimSpace(part), ":")
		share := CodecShare{Weight: 1}
		switch strings.ToUpper(name) {
		case "8":
			share.Codec = teltonika.Codec8
		case "8E":
			share.Codec = teltonika.Codec8E
		case "16":
			share.Codec = teltonika.Codec16
		default:
			return nil, fmt.Errorf("%q in %q is not codec 8, 8E or 16", name, s)
		}
		if hasWeight {
			n, err := strconv.Atoi(weight)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("weight %q in %q is not a number of 0 or more", weight, s)
			}
			share.Weight = n
		}
		mix = append(mix, share)
	}
	return mix, nil
}

func (m Mix) String() string {
	parts := make([]string, len(m))
	for i, share := range m {
		parts[i] = fmt.Sprintf("%v:%d", share.Codec, share.Weight)
	}
	return strings.Join(parts, ",")
}

func (m Mix) total() int {
	sum := 0
	for _, share := range m {
		sum += max(0, share.Weight)
	}
	return sum
}

// pick returns the codec that owns the point n of 0 to total-1.
func (m Mix) pick(n int) teltonika.Codec {
	for _, share := range m {
		if n < share.Weight {
			return share.Codec
		}
		n -= share.Weight
	}
	return m[len(m)-1].Codec
}

// ParseSources reads "10", which is 127.0.0.1 to 127.0.0.10, or addresses with commas between them.
func ParseSources(s string) ([]netip.Addr, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > maxSources {
			return nil, fmt.Errorf("%d, expected 0 to %d", n, maxSources)
		}
		return loopback(n), nil
	}
	var all []netip.Addr
	for text := range strings.SplitSeq(s, ",") {
		source, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q is neither a number nor addresses like 192.0.2.1,192.0.2.2", s)
		}
		all = append(all, source)
	}
	return all, nil
}
