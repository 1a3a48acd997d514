package simulate

import (
	"fmt"
	"strings"
	"time"
)

// execute does what a command says and returns the answer's text, empty if the device does not answer it. The forms
// are those of real answers, the values are made up (vendor's wiki, "SMS/GPRS Commands").
func (d *device) execute(payload []byte) string {
	name, args, _ := strings.Cut(strings.TrimRight(string(payload), "\r\n\x00"), " ")
	args = strings.TrimSpace(args)
	switch strings.ToLower(name) {
	case "getinfo":
		return d.info()
	case "getver":
		return d.version()
	case "getgps":
		return d.position()
	case "getstatus":
		return fmt.Sprintf("Data Link:1 GPRS:1 Phone:0 SIM:0 OP:00101 Signal:%d NewSMS:0 Roaming:0 SMSFull:0 LAC:%d "+
			"Cell ID:%d NetType:1 FwUpd:-1",
			1+d.number%5, 1000+d.number%100, d.number)
	case "getparam":
		return d.getParameters(args)
	case "setparam":
		return d.setParameters(args)
	case "setdigout":
		return "DOUTS are set to:" + args
	case "deleterecords":
		return "Records are deleted"
	case "cpureset":
		d.restarting = true
		return ""
	}
	if d.fleet.options.CommandIgnoreUnknown {
		return ""
	}
	return "Unknown command"
}

// hardware is what a fleet is made of: names and the vendor's numbers of its models.
var hardware = [...]struct {
	name  string
	model int
}{{"FMB120", 12}, {"FMB130", 42}, {"FMC130", 130}, {"FMM130", 230}}

func (d *device) version() string {
	h := hardware[d.number%len(hardware)]
	began := d.fleet.options.Start.UTC()
	return fmt.Sprintf("Ver:03.28.%02d_00 GPS:AXN_5.%d Hw:%s Mod:%d IMEI:%s Init:%s Uptime:%d MAC:02%010X "+
		"SPC:1(0) AXL:2 OBD:0 BL:1.%d BT:4",
		d.number%8, d.number%3, h.name, h.model, d.imei, began.Format("2006-1-2 15:04"), d.uptime(), d.number, 8+d.number%3)
}

func (d *device) info() string {
	return fmt.Sprintf("RTC:%s Init:%s UpTime:%ds PWR:PwrVoltage RST:0 GPS:3 SAT:%d TTFF:%d TTLF:%d NOGPS:0:0 SR:%d "+
		"FG:0 FL:0 SMS:0 REC:%d MD:1 DB:0",
		time.Now().UTC().Format("2006/1/2 15:04"), d.fleet.options.Start.UTC().Format("2006/1/2 15:04"), d.uptime(),
		d.vehicle.at.satellites, 20+d.number%40, 1+d.number%5, d.frame.sent, d.journal.waiting())
}

func (d *device) position() string {
	at := &d.vehicle.at
	fix := number(at.satellites > 0)
	return fmt.Sprintf("GPS:%d Sat:%d Lat:%.6f Long:%.6f Alt:%d Speed:%d Dir:%d Date:%s",
		fix, at.satellites, float64(at.latitude)/1e7, float64(at.longitude)/1e7, at.altitude, at.speed, at.angle,
		time.UnixMilli(at.timestamp).UTC().Format("2006/1/2 Time:15:04:05"))
}

// uptime is how long the device has been running, in seconds.
func (d *device) uptime() int { return int(d.fleet.now().Seconds()) }

// maxParameters is how many parameters that were set a device remembers.
const maxParameters = 100

// factory are the values of parameters that were never set; the others are 0.
var factory = map[string]string{"1000": "300", "1001": "30", "2001": "internet.example", "2004": "trackers.example",
	"2005": "5027"}

func (d *device) parameter(id string) string {
	for _, values := range []map[string]string{d.parameters, factory} {
		if value, ok := values[id]; ok {
			return value
		}
	}
	return "0"
}

func (d *device) getParameters(ids string) string {
	var answer []string
	for id := range strings.SplitSeq(ids, ";") {
		if id = strings.TrimSpace(id); id != "" {
			answer = append(answer, fmt.Sprintf("Param ID:%s Val:%s", id, d.parameter(id)))
		}
	}
	if answer == nil {
		return "Wrong parameter"
	}
	return strings.Join(answer, ";")
}

func (d *device) setParameters(pairs string) string {
	answer := "New value "
	for pair := range strings.SplitSeq(strings.TrimSuffix(pairs, ";"), ";") {
		id, value, ok := strings.Cut(strings.TrimSpace(pair), ":")
		if !ok || id == "" {
			return "Wrong parameter"
		}
		if d.parameters == nil {
			d.parameters = make(map[string]string)
		}
		if len(d.parameters) < maxParameters || d.parameters[id] != "" {
			d.parameters[id] = value
		}
		answer += id + ":" + value + ";"
	}
	return answer
}
