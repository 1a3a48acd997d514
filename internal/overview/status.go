package overview

import "time"

// Status is the service at a glance. What is not known is left out.
type Status struct {
	Now      time.Time `json:"now"`
	Instance string    `json:"instance"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started,omitzero"`

	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons,omitempty"` // why not
	Warnings []string `json:"warnings,omitempty"`

	Engine          Engine         `json:"engine"`
	Records         Records        `json:"records"`
	Queue           Queue          `json:"queue"`
	Connections     map[string]int `json:"connections"` // devices by transport
	Groups          []Group        `json:"groups"`
	CertificateDays *float64       `json:"certificate_days,omitempty"` // until the first one of the chain expires

	Alerts       []Alert        `json:"alerts"`
	NotEvaluated []NotEvaluated `json:"not_evaluated"`
}

// Engine is where records go.
type Engine struct {
	Name            string   `json:"name,omitempty"`
	Class           string   `json:"class,omitempty"`
	Durability      string   `json:"durability"` // in words
	Records         *float64 `json:"records,omitempty"`
	DeadLetterBytes *float64 `json:"dead_letter_bytes,omitempty"`
}

// Records are those received, and what became of them.
type Records struct {
	Received     Flow `json:"received"`
	Published    Flow `json:"published"`
	Duplicate    Flow `json:"duplicate"`
	DeadLettered Flow `json:"dead_lettered"`
	Refused      Flow `json:"refused"`
}

// Flow is a counter: since the start of the process, and in a second of the last few.
type Flow struct {
	Total     uint64  `json:"total"`
	PerSecond float64 `json:"per_second"`
}

// Queue are the records that are not stored yet.
type Queue struct {
	Depth    int64 `json:"depth"`
	Capacity int64 `json:"capacity"`
}

// Group is how far a consumer group has come.
type Group struct {
	Name          string   `json:"name"`
	Lag           *float64 `json:"lag,omitempty"`            // records not delivered to it
	Unread        *float64 `json:"unread,omitempty"`         // records that it has not acknowledged
	OldestSeconds *float64 `json:"oldest_seconds,omitempty"` // age of the oldest of them
}

// Alert is one whose condition holds.
type Alert struct {
	Name     string    `json:"name"`
	Severity string    `json:"severity"`
	Firing   bool      `json:"firing"` // it has held as long as the alert asks for
	Since    time.Time `json:"since"`
	FiresAt  time.Time `json:"fires_at"`
}

// NotEvaluated is an alert that is not looked at here.
type NotEvaluated struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}
