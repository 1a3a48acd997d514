{{/* The objects' name: short enough for what is appended to it, and for labels that Kubernetes makes of it. */}}
{{- define "tcp-ingestion.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What Services and the like find the pods by; never changes for a release. */}}
{{- define "tcp-ingestion.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tcp-ingestion.labels" -}}
{{ include "tcp-ingestion.selector" . }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{- define "tcp-ingestion.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tcp-ingestion.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tcp-ingestion.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Non-empty if each pod keeps DATA_DIR. */}}
{{- define "tcp-ingestion.persistent" -}}
{{- if or (eq .Values.engine "embedded") .Values.persistence.enabled }}yes{{ end -}}
{{- end -}}

{{- define "tcp-ingestion.kind" -}}
{{- if include "tcp-ingestion.persistent" . }}StatefulSet{{ else }}Deployment{{ end -}}
{{- end -}}

{{/* Non-empty if devices may find another pod while one stops. */}}
{{- define "tcp-ingestion.several" -}}
{{- if or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled }}yes{{ end -}}
{{- end -}}

{{/* A value as the text of a setting. Numbers of a values file are floats here, of which large ones would have an
     exponent. */}}
{{- define "tcp-ingestion.text" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}
