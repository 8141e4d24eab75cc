{{- /*
Names and labels of everything the chart makes.
Each takes the root context, or (dict "root" $ "component" NAME).
*/ -}}

{{- /* Names are cut so that the longest suffix still fits into the 63 characters of a DNS label. */ -}}
{{- define "berth.fullname" -}}
{{- $default := contains "berth" .Release.Name | ternary .Release.Name (printf "%s-berth" .Release.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "berth.operator.name" -}}
{{ include "berth.fullname" . }}-operator
{{- end -}}

{{- define "berth.operator.settingsName" -}}
{{ include "berth.fullname" . }}-operator-settings
{{- end -}}

{{- define "berth.router.name" -}}
{{ include "berth.fullname" . }}-router
{{- end -}}

{{- define "berth.router.statsName" -}}
{{ include "berth.fullname" . }}-stats
{{- end -}}

{{- /* The Service is what people type: it has the shortest name. */ -}}
{{- define "berth.service.name" -}}
{{- $name := include "berth.fullname" . -}}
{{- if contains "." $name -}}
  {{- /* Helm would find out halfway through the installation. */ -}}
  {{- fail (printf "no Service can be called %s, for its dot: give the release another name, or set fullnameOverride" $name) -}}
{{- end -}}
{{ $name }}
{{- end -}}

{{- define "berth.modelStore.claimName" -}}
{{ .Values.modelStore.existingClaim | default (printf "%s-models" (include "berth.fullname" .)) }}
{{- end -}}

{{- define "berth.selectorLabels" -}}
app.kubernetes.io/name: berth
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /* Without versions: a new version of the chart alone must not restart a pod. */ -}}
{{- define "berth.podLabels" -}}
{{ include "berth.selectorLabels" . }}
app.kubernetes.io/part-of: berth
{{- end -}}

{{- define "berth.labels" -}}
{{ include "berth.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}
