package simulate

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

// TestMachine has each limit of a machine be in the way.
func TestMachine(t *testing.T) {
	large := machine{descriptors: 200_000, nrOpen: 1 << 20, ports: 28_232, somaxconn: 4096}
	for _, c := range []struct {
		name    string
		change  func(*machine, *Options)
		says    []string // of the error, nothing for none
		warning string
	}{
		{"enough", func(*machine, *Options) {}, nil, ""},
		{"not known", func(m *machine, _ *Options) { *m = machine{} }, nil, ""},
		{"descriptors", func(m *machine, _ *Options) { m.descriptors = 20_000 },
			[]string{"100032 file descriptors", "may have 20000", "ulimit -n 100032", "--imei-base"}, ""},
		{"nr_open", func(m *machine, _ *Options) { m.descriptors, m.nrOpen = 20_000, 65_536 },
			[]string{"fs.nr_open=100032, now 65536"}, ""},
		{"ports", func(_ *machine, o *Options) { o.Sources = loopback(3) },
			[]string{"addresses (3) have 84696", "4 --source-addresses", "ip_local_port_range"}, ""},
		{"ports of another machine", func(_ *machine, o *Options) { o.Address = "192.0.2.1:5027" },
			[]string{"addresses (1) have 28232"}, ""},
		{"both", func(m *machine, o *Options) { m.descriptors, o.Sources = 1024, loopback(1) },
			[]string{"may have 1024", "addresses (1) have"}, ""},
		{"foreign address", func(_ *machine, o *Options) {
			o.Sources = append(loopback(4), netip.MustParseAddr("203.0.113.7"))
		}, []string{"nothing can be sent from 203.0.113.7"}, ""},
		{"all at once", func(_ *machine, o *Options) { o.Ramp = 0 }, nil, "net.core.somaxconn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, o := large, Defaults()
			o.Address, o.Devices = "127.0.0.1:5027", 100_000
			c.change(&m, &o)
			err := m.allows(&o)
			if (err == nil) != (c.says == nil) {
				t.Fatalf("error %v", err)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("does not say %q: %v", text, err)
				}
			}
			if w := m.warning(&o); c.warning == "" && w != "" || !strings.Contains(w, c.warning) {
				t.Errorf("warning %q", w)
			}
		})
	}
}

// TestThisMachine reads the limits of the machine that the test runs on.
func TestThisMachine(t *testing.T) {
	m := thisMachine()
	if m.descriptors < 10 || m.nrOpen < m.descriptors || m.ports < 100 || m.somaxconn < 1 {
		t.Errorf("%+v", m)
	}
}

// TestSources has connections come from the addresses in turn.
func TestSources(t *testing.T) {
	s := &server{tb: t}
	o := small(s.listen(), 4, 4)
	o.Sources = []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.7")}
	dial := newNetDialer(&o)
	for device, want := range []string{"127.0.0.9", "127.0.0.7", "127.0.0.9"} {
		conn, err := dial(t.Context(), device)
		if err != nil {
			t.Fatal(err)
		}
		if from := conn.LocalAddr().(*net.TCPAddr); from.IP.String() != want || from.Port == 0 {
			t.Errorf("device %d connects from %v, want %s", device, from, want)
		}
		conn.Close()
	}
}

func TestParseSources(t *testing.T) {
	for text, want := range map[string]string{
		"0": "[]", "2": "[127.0.0.1 127.0.0.2]", "192.0.2.1, ::1": "[192.0.2.1 ::1]", "255": "", "-1": "", "x": "", "1,2": "",
	} {
		got, err := ParseSources(text)
		if (err == nil) != (want != "") || err == nil && !strings.EqualFold(want, formatAll(got)) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func formatAll(all []netip.Addr) string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return "[" + strings.Join(texts, " ") + "]"
}
