package config

import (
	"errors"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Forward are the settings of the command forward.
type Forward struct {
	To           string // a URL, "file:DIR" or "-"; it may hold a password: never log it
	Group        string
	Format       string // of package format
	Devices      string // ids, or how they begin with a * behind it, separated by commas; empty = all
	Families     string // separated by commas; empty = all
	Signals      string // of which a record has one, separated by commas; empty = all
	BatchRecords int
	BatchBytes   int
	BatchWait    time.Duration
	FileBytes    int64
	FileAge      time.Duration
	RefusedFile  string // path; empty = in DataDir

	TLS  ForwardTLS
	HTTP ForwardHTTP
	MQTT ForwardMQTT
}

// Scheme is what stands before the colon of To, or "-".
func (f *Forward) Scheme() string {
	scheme, _, _ := strings.Cut(f.To, ":")
	return scheme
}

// ForwardRefusedFile is the path of the file of refused records.
func (c *Config) ForwardRefusedFile() string {
	if c.Forward.RefusedFile != "" {
		return c.Forward.RefusedFile
	}
	return filepath.Join(c.DataDir, "consumers", c.Forward.Group, "refused.jsonl")
}

// forwardSettings are part of Settings.
var forwardSettings = []Setting{
	{Name: "FORWARD_TO", Secret: true,
		Help: "where forward delivers records: https://host/path, mqtts://host:8883, file:DIRECTORY, or - for standard " +
			"output; http and mqtt are not encrypted",
		set: func(c *Config, v string) error { return parseForwardTo(&c.Forward.To, v) }},
	{Name: "FORWARD_GROUP", Default: "forward",
		Help: "name of forward's place in the records: each group gets all of them, and goes on where it was",
		set:  func(c *Config, v string) error { return parseGroup(&c.Forward.Group, v) }},
	{Name: "FORWARD_FORMAT", Default: "native", Help: "form of the records that forward delivers, as tail --format",
		set: func(c *Config, v string) error { c.Forward.Format = v; return nil }},
	{Name: "FORWARD_DEVICES", List: true,
		Help: "devices whose records forward delivers: ids, or how ids begin with * behind it, separated by commas " +
			"(default all)",
		set: func(c *Config, v string) error { return parseForwardDevices(&c.Forward.Devices, v) }},
	{Name: "FORWARD_FAMILIES", List: true,
		Help: "families of devices whose records forward delivers, separated by commas (default all)",
		set:  func(c *Config, v string) error { c.Forward.Families = strings.Join(list(v), ","); return nil }},
	{Name: "FORWARD_SIGNALS", List: true,
		Help: "forward delivers only records that have one of these signals, separated by commas (default all)",
		set:  func(c *Config, v string) error { c.Forward.Signals = strings.Join(list(v), ","); return nil }},
	{Name: "FORWARD_BATCH_RECORDS", Default: "500", Help: "records that forward delivers at once, at the most",
		set: func(c *Config, v string) error { return parseInt(&c.Forward.BatchRecords, v, 1, 10_000) }},
	{Name: "FORWARD_BATCH_BYTES", Default: "1048576",
		Help: "bytes that forward delivers at once, at the most; a larger record goes alone",
		set:  func(c *Config, v string) error { return parseInt(&c.Forward.BatchBytes, v, 1, 64<<20) }},
	{Name: "FORWARD_BATCH_WAIT", Default: "1s", Help: "how long forward waits for further records of a batch",
		set: func(c *Config, v string) error { return parseDuration(&c.Forward.BatchWait, v, 0, time.Minute) }},
	{Name: "FORWARD_FILE_BYTES", Default: "67108864", Help: "size at which a file of FORWARD_TO=file: is complete",
		set: func(c *Config, v string) error { return parseInt(&c.Forward.FileBytes, v, 1, 1<<40) }},
	{Name: "FORWARD_FILE_AGE", Default: "1h", Help: "age at which it is complete",
		set: func(c *Config, v string) error {
			return parseDuration(&c.Forward.FileAge, v, time.Second, 31*24*time.Hour)
		}},
	{Name: "FORWARD_REFUSED_FILE",
		Help: "file of records that are refused for good (default consumers/GROUP/refused.jsonl in DATA_DIR); " +
			"DEAD_LETTER_MAX_BYTES bounds it",
		set: func(c *Config, v string) error { c.Forward.RefusedFile = v; return nil }},
}

// parseForwardTo takes whatever may be a target. The parser's errors quote the URL, and with it the password.
func parseForwardTo(dst *string, v string) error {
	*dst = v
	if dir, file := strings.CutPrefix(v, "file:"); v == "" || v == "-" || file && dir != "" {
		return nil
	}
	if u, err := url.Parse(v); err != nil || u.Scheme == "" || u.Host == "" {
		return errors.New("use file:DIRECTORY, - for standard output, or a URL with a host")
	}
	return nil
}

var group = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func parseGroup(dst *string, v string) error {
	if !group.MatchString(v) {
		return errors.New("use 1 to 64 letters, digits, hyphens and underscores")
	}
	*dst = v
	return nil
}

// device is an id, or its beginning.
var device = regexp.MustCompile(`^([A-Za-z0-9]{1,64}|[A-Za-z0-9]{0,63}\*)$`)

// maxForwardDevices bounds what is looked through for each record.
const maxForwardDevices = 1000

func parseForwardDevices(dst *string, v string) error {
	devices := list(v)
	for _, d := range devices {
		if !device.MatchString(d) {
			return errors.New("use ids of devices, or how they begin, as in 356307*, separated by commas")
		}
	}
	if len(devices) > maxForwardDevices {
		return errors.New("use 1000 at the most")
	}
	*dst = strings.Join(devices, ",")
	return nil
}
