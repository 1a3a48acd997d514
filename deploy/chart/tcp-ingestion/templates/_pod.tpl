{{/* Files of Secrets and ConfigMaps have the mode 0440, which is 288. */}}
{{- define "tcp-ingestion.pod" -}}
metadata:
  labels:
    {{- include "tcp-ingestion.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "tcp-ingestion.serviceAccount" . }}
  automountServiceAccountToken: false
  # A Service that is called metrics would else set METRICS_PORT.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "tcp-ingestion.grace" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tcp-ingestion.selector" $ | nindent 10 }}
    {{- end }}
    {{- end }}
  containers:
    - name: tcp-ingestion
      image: {{ include "tcp-ingestion.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      env:
        {{- include "tcp-ingestion.env" . | nindent 8 }}
      ports:
        {{- include "tcp-ingestion.ports" . | nindent 8 }}
      # A start may have to bring a large telemetry.db up to date first.
      startupProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 300
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # Kubernetes takes a pod that stops out of its Services at once. Until this probe has failed, kube-proxy still
      # sends it whom a balancer, which has not noticed yet, sends to its node: for DRAIN_DELAY, a minute at most.
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: {{ div (include "tcp-ingestion.delay" .) 5 | add 1 | min 13 | max 3 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.tls.secret }}
        - {name: tls, mountPath: /etc/tcp-ingestion/tls, readOnly: true}
        {{- end }}
        {{- range $name, $from := .Values.files }}
        {{- $folder := include "tcp-ingestion.folder" $name }}
        - {name: {{ $folder }}, mountPath: /etc/tcp-ingestion/{{ $folder }}, readOnly: true}
        {{- end }}
  volumes:
    {{- if not (include "tcp-ingestion.persistent" .) }}
    - name: data
      emptyDir: {}
    {{- end }}
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- if .Values.tls.secret }}
    - name: tls
      secret: {secretName: {{ .Values.tls.secret | quote }}, defaultMode: 288}
    {{- end }}
    {{- range $name, $from := .Values.files }}
    - name: {{ include "tcp-ingestion.folder" $name }}
      {{- if $from.secret }}
      secret:
        secretName: {{ $from.secret | quote }}
      {{- else }}
      configMap:
        name: {{ $from.configMap | quote }}
      {{- end }}
        defaultMode: 288
        items: [{key: {{ $from.key | quote }}, path: {{ $from.key | quote }}}]
    {{- end }}
{{- end -}}

{{- define "tcp-ingestion.ports" -}}
{{- if .Values.devices.tcp.enabled }}
- {name: devices, containerPort: 5027}
{{- end }}
{{- if .Values.devices.tls.enabled }}
- {name: devices-tls, containerPort: 5028}
{{- end }}
{{- if .Values.devices.udp.enabled }}
- {name: devices-udp, containerPort: 5027, protocol: UDP}
{{- end }}
- {name: metrics, containerPort: 9090}
{{- if .Values.admin.enabled }}
- {name: admin, containerPort: 9091}
{{- end }}
{{- end -}}
