//go:build linux

package testkit

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestNATSClusterChoosesAnotherLeader is the tests' own tool at work.
func TestNATSClusterChoosesAnotherLeader(t *testing.T) {
	n := StartNATS(t, 3)
	n.CreateStream(jetstream.StreamConfig{Name: "S", Replicas: 3, Subjects: []string{"s"}})
	first := n.Leader("S")
	n.Kill(first)
	n.try("another leader", func(ctx context.Context) error {
		now, err := n.leader(ctx, "S")
		if err == nil && now == first {
			return errors.New("not yet")
		}
		return err
	})
	n.Restart(first)
	n.try("a message", func(ctx context.Context) error {
		_, err := n.JetStream().Publish(ctx, "s", nil)
		return err
	})
}
