{{- define "pollux.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "pollux.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pollux.labels" -}}
{{ include "pollux.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "pollux.secret" -}}
{{ .Values.existingSecret | default (include "pollux.name" .) }}
{{- end }}

{{- define "pollux.driver" -}}
{{ dig "store" "driver" "sqlite" .Values.config }}
{{- end }}

{{- define "pollux.scheme" -}}
{{ if .Values.config.tls }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}
