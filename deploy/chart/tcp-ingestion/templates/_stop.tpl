{{/* The phases of a stop in seconds: DRAIN_DELAY, CLOSE_SPREAD, and all that follows within SHUTDOWN_TIMEOUT_MS. */}}
{{- define "tcp-ingestion.delay" -}}
{{- $default := ternary 15 0 (include "tcp-ingestion.several" . | not | not) -}}
{{- ternary $default .Values.stop.delaySeconds (kindIs "invalid" .Values.stop.delaySeconds) | int -}}
{{- end -}}

{{- define "tcp-ingestion.spread" -}}
{{- $default := ternary 20 0 (include "tcp-ingestion.several" . | not | not) -}}
{{- ternary $default .Values.stop.spreadSeconds (kindIs "invalid" .Values.stop.spreadSeconds) | int -}}
{{- end -}}

{{/* Longer than the service takes at most, and 10 s for it to say so and to end. */}}
{{- define "tcp-ingestion.grace" -}}
{{- add (include "tcp-ingestion.delay" .) (include "tcp-ingestion.spread" .) .Values.stop.shutdownTimeoutSeconds 10 -}}
{{- end -}}
