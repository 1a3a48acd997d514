{{/* The settings that the chart itself makes of its values, as a map. */}}
{{- define "tcp-ingestion.ownSettings" -}}
ENGINE: {{ .Values.engine }}
DATA_DIR: /data
TELTONIKA_PORT: {{ ternary "5027" "off" .Values.devices.tcp.enabled | quote }}
METRICS_PORT: "9090"
{{- if .Values.devices.tls.enabled }}
TLS_PORT: "5028"
{{- end }}
{{- if .Values.devices.udp.enabled }}
UDP_PORT: "5027"
{{- end }}
{{- if .Values.tls.secret }}
TLS_CERT_FILE: /etc/tcp-ingestion/tls/tls.crt
TLS_KEY_FILE: /etc/tcp-ingestion/tls/tls.key
{{- end }}
{{- if .Values.admin.enabled }}
ADMIN_ADDRESS: ":9091"
{{- end }}
{{- if and .Values.files.DEVICE_ALLOW_LIST (not .Values.settings.DEVICE_AUTHORITY_MODE) }}
DEVICE_AUTHORITY_MODE: file_allow_list
{{- end }}
DRAIN_DELAY: {{ include "tcp-ingestion.delay" . }}s
CLOSE_SPREAD: {{ include "tcp-ingestion.spread" . }}s
DRAIN_TIMEOUT_MS: {{ mul .Values.stop.drainTimeoutSeconds 1000 | quote }}
SHUTDOWN_TIMEOUT_MS: {{ mul .Values.stop.shutdownTimeoutSeconds 1000 | quote }}
{{- end -}}

{{/* The container's environment. INSTANCE_ID is the pod's name: unique among pods, and kept by a container that
     restarts and by a StatefulSet's pod that comes back. */}}
{{- define "tcp-ingestion.env" -}}
- name: INSTANCE_ID
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- range $name, $value := include "tcp-ingestion.ownSettings" . | fromYaml }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ include "tcp-ingestion.text" $value | quote }}
{{- end }}
{{- range $name, $from := .Values.secretSettings }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $from.secret | quote }}, key: {{ default $name $from.key | quote }}}}
{{- end }}
{{- range $name, $from := .Values.files }}
- name: {{ $name }}
  value: {{ printf "/etc/tcp-ingestion/%s/%s" (include "tcp-ingestion.folder" $name) $from.key | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The folder and the volume of a setting that names a file. */}}
{{- define "tcp-ingestion.folder" -}}
{{- lower . | replace "_" "-" -}}
{{- end -}}
