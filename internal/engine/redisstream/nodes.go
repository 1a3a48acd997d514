package redisstream

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// clusterNode is one that another node of the cluster knows, or itself.
type clusterNode struct {
	id      string
	address string // by which it is dialled
	peer    string // by which a master names it as a replica
	master  string // the id of its master; empty: it is one itself
	itself  bool   // it is the one that answers
	failed  bool   // most masters have found it down
	epoch   int64  // of its configuration: whoever takes slots over has a higher one than all before
	slots   [][2]int
}

// serves says whether a slot is this node's.
func (n *clusterNode) serves(slot int) bool {
	for _, s := range n.slots {
		if s[0] <= slot && slot <= s[1] {
			return true
		}
	}
	return false
}

// maxNodes is more than a Redis Cluster can have.
const maxNodes = 2000

// parseNodes reads the answer to CLUSTER NODES, a line for each node:
//
//	<id> <ip>:<port>@<bus port>,<hostname>,… <flags> <id of its master or -> <ping> <pong> <epoch> <link> <slots> …
//
// where slots are numbers and ranges, and those on the way from or to another node. asked is the address of the node
// that answers, which may not know its own. With named a node is dialled by its hostname, if it has one.
func parseNodes(text, asked string, named bool) ([]clusterNode, error) {
	var all []clusterNode
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 || len(all) == maxNodes {
			return nil, fmt.Errorf("redis describes a node of the cluster by %q", line)
		}
		flags := "," + fields[2] + ","
		if strings.Contains(flags, ",noaddr,") || strings.Contains(flags, ",handshake,") {
			continue
		}
		n := clusterNode{
			id: fields[0], itself: strings.Contains(flags, ",myself,"), failed: strings.Contains(flags, ",fail,"),
		}
		n.peer, n.address = parseNodeAddress(fields[1], asked, named)
		if fields[3] != "-" {
			n.master = fields[3]
		}
		n.epoch, _ = strconv.ParseInt(fields[6], 10, 64)
		for _, s := range fields[8:] {
			if strings.HasPrefix(s, "[") {
				continue // on its way; who has it says who serves it
			}
			first, last, _ := strings.Cut(s, "-")
			low, lowErr := strconv.Atoi(first)
			high, highErr := strconv.Atoi(cmp.Or(last, first))
			if lowErr != nil || highErr != nil {
				return nil, fmt.Errorf("redis describes slots of the cluster by %q", s)
			}
			n.slots = append(n.slots, [2]int{low, high})
		}
		all = append(all, n)
	}
	return all, nil
}

// parseNodeAddress reads <ip>:<port>@<bus port>,<hostname>.
func parseNodeAddress(text, asked string, named bool) (peer, address string) {
	text, rest, _ := strings.Cut(text, ",")
	peer, _, _ = strings.Cut(text, "@")
	colon := strings.LastIndexByte(peer, ':') // an IPv6 address comes without brackets
	host, port := peer[:max(colon, 0)], peer[colon+1:]
	if host == "" {
		host, _, _ = net.SplitHostPort(asked)
	}
	peer = net.JoinHostPort(host, port)
	hostname, _, _ := strings.Cut(rest, ",")
	if named && hostname != "" && !strings.Contains(hostname, "=") {
		return peer, net.JoinHostPort(hostname, port)
	}
	return peer, peer
}
