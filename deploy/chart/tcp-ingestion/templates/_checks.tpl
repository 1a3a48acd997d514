{{/* Values that are right each for itself and wrong together: fails with what to do. */}}
{{- define "tcp-ingestion.checks" -}}
{{- include "tcp-ingestion.checkPods" . -}}
{{- include "tcp-ingestion.checkEngine" . -}}
{{- include "tcp-ingestion.checkDevices" . -}}
{{- include "tcp-ingestion.checkSettings" . -}}
{{- end -}}

{{- define "tcp-ingestion.checkPods" -}}
{{- $v := .Values -}}
{{- if and (eq $v.engine "embedded") $v.autoscaling.enabled -}}
{{- fail "autoscaling.enabled: the embedded engine keeps all records in one pod's volume; choose another engine" -}}
{{- end -}}
{{- if and (eq $v.engine "embedded") (gt (int $v.replicas) 1) -}}
{{- printf "replicas is %d, but the embedded engine keeps all records in one pod's volume; use 1, or another engine"
  (int $v.replicas) | fail -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.autoscaling.by "keda") (not $v.autoscaling.prometheusAddress) -}}
{{- fail "autoscaling.by is keda, which needs autoscaling.prometheusAddress, such as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- if gt (int $v.stop.drainTimeoutSeconds) (int $v.stop.shutdownTimeoutSeconds) -}}
{{- fail "stop.drainTimeoutSeconds is above stop.shutdownTimeoutSeconds, of which it is a part" -}}
{{- end -}}
{{- end -}}

{{- define "tcp-ingestion.checkEngine" -}}
{{- $v := .Values -}}
{{- $url := get (dict "redis" "REDIS_URL" "jetstream" "NATS_URL" "postgres" "POSTGRES_URL") $v.engine -}}
{{- if and $url (not (hasKey $v.secretSettings $url)) (not (hasKey $v.files (printf "%s_FILE" $url))) -}}
{{- printf "engine is %s, which needs %s: set secretSettings.%s.secret to the name of a Secret with that key"
  $v.engine $url $url | fail -}}
{{- end -}}
{{- if and (eq $v.engine "kafka") (not $v.settings.KAFKA_BROKERS) -}}
{{- fail "engine is kafka, which needs settings.KAFKA_BROKERS, such as kafka-bootstrap:9092" -}}
{{- end -}}
{{- end -}}

{{- define "tcp-ingestion.checkDevices" -}}
{{- $v := .Values -}}
{{- $d := $v.devices -}}
{{- $detect := eq (toString $v.settings.TLS_DETECT) "true" -}}
{{- if not (or $d.tcp.enabled $d.tls.enabled $d.udp.enabled) -}}
{{- fail "devices.tcp, devices.tls and devices.udp are all off, so no device can come in; enable one" -}}
{{- end -}}
{{- if and $d.tcp.enabled $d.tls.enabled (eq (int $d.tcp.port) (int $d.tls.port)) -}}
{{- fail "devices.tcp.port and devices.tls.port are the same; for TLS and plain devices at one port use settings.TLS_DETECT" -}}
{{- end -}}
{{- if and (or $d.tls.enabled $detect) (not $v.tls.secret) -}}
{{- fail "devices.tls.enabled or settings.TLS_DETECT needs tls.secret, the name of a Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- if and $v.tls.secret (not $d.tls.enabled) (not $detect) -}}
{{- fail "tls.secret has no effect: set devices.tls.enabled, or settings.TLS_DETECT to true" -}}
{{- end -}}
{{- if and $v.admin.enabled (not (hasKey $v.secretSettings "ADMIN_TOKEN")) (not (hasKey $v.files "ADMIN_TOKEN_FILE")) -}}
{{- fail "admin.enabled needs a token: set secretSettings.ADMIN_TOKEN.secret to the name of a Secret with that key" -}}
{{- end -}}
{{- end -}}

{{- define "tcp-ingestion.checkSettings" -}}
{{- $v := .Values -}}
{{- $list := $v.files.DEVICE_ALLOW_LIST -}}
{{- $mode := default "file_allow_list" $v.settings.DEVICE_AUTHORITY_MODE -}}
{{- if and $list (ne $mode "file_allow_list") -}}
{{- printf "files.DEVICE_ALLOW_LIST has no effect with settings.DEVICE_AUTHORITY_MODE %s; leave one of them out" $mode
  | fail -}}
{{- end -}}
{{- range $name, $_ := $v.secretSettings -}}
{{- if hasKey $v.files (printf "%s_FILE" $name) -}}
{{- printf "secretSettings.%s and files.%s_FILE are two places for one secret; leave one of them out" $name $name | fail -}}
{{- end -}}
{{- end -}}
{{- $seen := include "tcp-ingestion.ownSettings" . | fromYaml -}}
{{- $_ := set $seen "INSTANCE_ID" "" -}}
{{- range $where := list $v.settings $v.secretSettings $v.files -}}
{{- range $name, $_ := $where -}}
{{- if hasKey $seen $name -}}
{{- printf "%s is set twice: in settings, secretSettings and files, and by the chart, it can be set once only" $name
  | fail -}}
{{- end -}}
{{- $_ := set $seen $name "" -}}
{{- end -}}
{{- end -}}
{{- end -}}
