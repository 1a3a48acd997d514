package redisstream

import (
	"fmt"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestSlotOf(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(testkit.FreePort(t)))
	for _, key := range []string{"", "a", testStream, testStream + ":{7}", testStream + ":{63}:dead", "{}x", "a{b",
		"a{b}{c}", "{{a}}", "é{ü}"} {
		if want := r.Do("CLUSTER", "KEYSLOT", key).(int64); int64(slotOf(key)) != want {
			t.Errorf("%q: slot %d, want %d", key, slotOf(key), want)
		}
	}
}

// The lines are Redis' own; of the ids the first digits are left.
const nodesText = "07c3 127.0.0.1:30004@31004,host4 slave e7d1 0 1426238317239 4 connected\n" +
	"67ed ::1:30002@31002,host2,shard-id=5 master - 0 1426238316232 2 connected 5461-10922 [93-<-e7d1]\n" +
	"824f 127.0.0.1:30006@31006 slave,fail e7d1 0 1426238317741 3 disconnected\n" +
	"aaaa 127.0.0.1:30007@31007 handshake - 0 0 0 disconnected\n" +
	"bbbb :0@0 slave,noaddr e7d1 0 0 0 disconnected\n" +
	"e7d1 :30001@31001,,tls-port=0 myself,master - 0 0 9 connected 0-92 94-5460 12000\n"

func TestParseNodes(t *testing.T) {
	t.Parallel()
	for named, want := range map[bool]string{
		false: "07c3 127.0.0.1:30004 e7d1 4 [] false\n67ed [::1]:30002  2 [[5461 10922]] false\n" +
			"824f 127.0.0.1:30006 e7d1 3 [] true\ne7d1 10.0.0.1:30001  9 [[0 92] [94 5460] [12000 12000]] false\n",
		true: "07c3 host4:30004 e7d1 4 [] false\n67ed host2:30002  2 [[5461 10922]] false\n" +
			"824f 127.0.0.1:30006 e7d1 3 [] true\ne7d1 10.0.0.1:30001  9 [[0 92] [94 5460] [12000 12000]] false\n",
	} {
		all, err := parseNodes(nodesText, "10.0.0.1:30001", named)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, n := range all {
			got += fmt.Sprintln(n.id, n.address, n.master, n.epoch, n.slots, n.failed)
		}
		if got != want {
			t.Errorf("named %v:\n%swant\n%s", named, got, want)
		}
		if replicas := fmt.Sprint(replicasOf("e7d1", all)); replicas !=
			"map[127.0.0.1:30004:{true false} 127.0.0.1:30006:{false false}]" {
			t.Errorf("replicas %s", replicas)
		}
	}
	for _, bad := range []string{"07c3 127.0.0.1:30004", "a :1@1 master - 0 0 1 connected x-y",
		strings.Repeat("a 1.2.3.4:1@1 slave b 0 0 1 connected\n", maxNodes+1)} {
		if all, err := parseNodes(bad, "", false); err == nil {
			t.Errorf("%.50q: %v", bad, all)
		}
	}
}

// Who was cut off names an old master, and a node that hears of another's epoch before its slots an old owner.
func TestOwner(t *testing.T) {
	t.Parallel()
	line := func(id, port, flags, master string, epoch int, slots string) string {
		return fmt.Sprintf("%s 127.0.0.1:%s@1 %s %s 0 0 %d connected %s\n", id, port, flags, master, epoch, slots)
	}
	stale := line("a", "1", "myself,master", "-", 1, "0-9") + line("b", "2", "slave", "a", 1, "")
	present := line("a", "1", "slave", "b", 2, "") + line("b", "2", "myself,master", "-", 2, "0-9")
	early := line("b", "2", "master", "-", 5, "0-9") + line("c", "3", "master", "-", 3, "")
	moved := line("b", "2", "myself,master", "-", 5, "1-9") + line("c", "3", "master", "-", 3, "0")
	for texts, want := range map[[2]string]string{
		{stale, ""}: "a", {stale, present}: "b", {present, stale}: "b", {early, moved}: "c", {moved, early}: "c",
		{"", ""}: "",
	} {
		var all []clusterNode
		for _, text := range texts {
			nodes, err := parseNodes(text, "", false)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, nodes...)
		}
		got := ""
		if n := owner(0, all); n != nil {
			got = n.id
		}
		if got != want {
			t.Errorf("%q is the owner, want %q, by\n%s%s", got, want, texts[0], texts[1])
		}
	}
}
