package redisstream

import "testing"

// TestRefusals has error replies as Redis words them.
func TestRefusals(t *testing.T) {
	for text, want := range map[string]struct{ transient, stale bool }{
		"LOADING Redis is loading the dataset in memory":                                   {true, true},
		"READONLY You can't write against a read only replica.":                            {true, true},
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": {true, true},
		"CLUSTERDOWN The cluster is down":                                                  {true, true},
		"OOM command not allowed when used memory > 'maxmemory'.":                          {true, false},
		"MISCONF Errors writing to the AOF file: No space left on device":                  {true, false},
		"NOREPLICAS Not enough good replicas to write.":                                    {true, false},
		"BUSY Redis is busy running a script.":                                             {true, false},
		"TRYAGAIN Multiple keys request during rehashing of slot":                          {true, false},
		"ERR max number of clients reached":                                                {true, false},
		"NOAUTH Authentication required.":                                                  {false, true},
		"MOVED 3999 127.0.0.1:6381":                                                        {false, true},
		"WRONGTYPE Operation against a key holding the wrong kind of value":                {false, false},
		"WRONGPASS invalid username-password pair or user is disabled.":                    {false, false},
		"NOPERM this user has no permissions to run the 'xadd' command":                    {false, true},
		"ERR unknown command 'XADD'":                                                       {false, false},
		"ERR syntax error":                                                                 {false, false},
		"DENIED Redis is running in protected mode":                                        {false, false},
	} {
		r := refusal(text)
		if r.transient() != want.transient || r.staleConnection() != want.stale {
			t.Errorf("%s: transient %v, stale %v", text, r.transient(), r.staleConnection())
		}
	}
}
