package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// errCluster is of a Redis whose keys are not all in one place, as the scripts need them.
var errCluster = errors.New("this redis is a node of a cluster; commands need an ordinary one, which may be small")

// proofLasts is how long the key of a proof is there.
const proofLasts = time.Second

// Prove finds out whether Redis would keep a command now. It writes a key that is gone a moment later.
func (s *Store) Prove(ctx context.Context) error {
	// Without the right to INFO the write alone has to do.
	if info, err := s.client.Info(ctx, "cluster").Result(); err == nil && strings.Contains(info, "cluster_enabled:1") {
		return errCluster
	}
	if err := s.client.Set(ctx, "commands:proof:"+s.opt.Instance, "", proofLasts).Err(); err != nil {
		return fmt.Errorf("the control redis takes no write: %w", err)
	}
	return nil
}
