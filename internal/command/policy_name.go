package command

import "strings"

const (
	maxName     = 64 // characters
	unknownName = "unknown"
	maxIDDigits = 5 // of a parameter
	maxPrefix   = 2 // words before a command in a text message: nothing, a password, or a login and a password
)

// Name names a payload for an audit log, in up to 64 printable characters: the name of each command in it, and behind
// setparam and getparam the ids of the parameters. It never has a value, because a value may be a password, and of
// words that may be a text message's login and password it takes the one that is a command's name. Where none is, it is
// the only word; "unknown" stands for one that begins with a digit, and for several. A payload that is not text is
// "binary".
func Name(payload []byte) string {
	payload = trimEnd(payload)
	if !isText(payload) {
		return binary
	}
	var names []string
	for line := range strings.FieldsFuncSeq(strings.ToLower(string(payload)), isLineEnd) {
		if words := strings.Fields(line); len(words) > 0 {
			names = append(names, lineName(words))
		}
	}
	name := strings.Join(names, "; ")
	switch {
	case name == "":
		return unknownName
	case len(name) > maxName:
		return name[:maxName-3] + "..."
	}
	return name
}

func lineName(words []string) string {
	for prefix := range min(len(words), maxPrefix+1) {
		plain := undecorated(words[prefix:])
		if known[plain[0]] {
			return plain[0] + ids(plain[0], strings.Join(plain[1:], " "))
		}
	}
	name := undecorated(words)[0]
	if name == "" || name[0] >= '0' && name[0] <= '9' || len(words) > 1 {
		return unknownName
	}
	return name
}

// undecorated takes the punctuation off the first word, so that its name stands alone.
func undecorated(words []string) []string {
	word := strings.TrimLeftFunc(words[0], isPunctuation)
	end := strings.IndexFunc(word, isPunctuation)
	if end < 0 {
		return append([]string{word}, words[1:]...)
	}
	plain := []string{word[:end]}
	if rest := strings.TrimLeftFunc(word[end:], isPunctuation); rest != "" {
		plain = append(plain, rest)
	}
	return append(plain, words[1:]...)
}

func isPunctuation(c rune) bool { return c >= 0x80 || !isNameByte(byte(c)) }

func isLineEnd(c rune) bool { return c == '\r' || c == '\n' }

// isText reports whether b is printable ASCII with at most tabs and line ends.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// ids lists the parameters' ids. Only where the vendor's syntax has an id is a number taken for one: elsewhere it may
// be part of a value.
func ids(command, args string) string {
	var list []string
	if command != setparam && command != getparam {
		return ""
	}
	for part := range strings.SplitSeq(args, ";") {
		part = strings.TrimSpace(part)
		rest := strings.TrimLeft(part, digits)
		id := part[:len(part)-len(rest)]
		isID := rest == ""
		if command == setparam {
			isID = strings.HasPrefix(rest, ":") || len(list) == 0 && strings.HasPrefix(rest, " ")
		}
		if isID && id != "" && len(id) <= maxIDDigits {
			list = append(list, id)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return " " + strings.Join(list, ",")
}

// known are the names of the vendor's commands (wiki, "SMS/GPRS Commands" of the device families).
var known = func() map[string]bool {
	names := make(map[string]bool)
	for name := range strings.FieldsSeq(`
		allver banlist battery boot braminfo cleardtc countrecs cpureset crashlog defaultcfg delete_all_sms deleterecords
		delkey delsecondkey extformat faultcodes flush fwstats getcfgtime getgnss getgps getimeiccid getimsi getinfo getio
		getlimits getnmeainfo getops getparam getrecord getstatus getver getvin ggps lvcanblockengine lvcancheck lvcanclear
		lvcanclosealldoors lvcanfaultcodes lvcangetinfo lvcangetprog lvcanlockalldoors lvcanmode lvcanopenalldoors
		lvcanopentrunk lvcanrefresh lvcanreset lvcansetprog lvcansimpletacho lvcanunblockengine obdinfo oemreset readavl
		readio readops resetlimits rstallprof scandtc scanfms sdformat secooff secoon setdigout setigndigout setkey
		setparam setsecondkey tacho_connect wdlog web_connect`) {
		names[name] = true
	}
	return names
}()
