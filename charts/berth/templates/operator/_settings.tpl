{{- /*
The operator's settings, in the terms of its own file.
What is empty is left out: the operator's default holds.
*/ -}}
{{- define "berth.operator.settings" -}}
{{- $devices := dict -}}
{{- range $device, $values := .Values.devices -}}
  {{- $settings := dict -}}
  {{- range $name, $value := $values -}}
    {{- if eq $name "pod" -}}
      {{- $value = include "berth.operator.stated" $value | fromJson -}}
    {{- end -}}
    {{- if $value -}}
      {{- $_ := set $settings $name $value -}}
    {{- end -}}
  {{- end -}}
  {{- if and (gt (int $settings.shares) 1) (not $settings.resourceName) -}}
    {{- fail (printf "devices.%s.shares is %v, but devices.%s.resourceName is empty: it must name what is shared" $device $settings.shares $device) -}}
  {{- end -}}
  {{- $_ := set $devices $device $settings -}}
{{- end -}}
{{- with .Values.operator.timing -}}
  {{- if le (float64 .hangDeadline) (addf .probePeriod 5) -}}
    {{- fail (printf "operator.timing.hangDeadline is %v, but must be more than probePeriod (%v) and 5 s for an answer" .hangDeadline .probePeriod) -}}
  {{- end -}}
{{- end -}}
{{- $modelStore := dict "claimName" (include "berth.modelStore.claimName" .) -}}
{{- with .Values.modelStore.subPath -}}
  {{- $_ := set $modelStore "subPath" . -}}
{{- end -}}
{{- if .Values.operator.readModelStore -}}
  {{- $_ := set $modelStore "path" "/models" -}}
{{- end -}}
healthPort: 8081
forecastPort: 8083
metricsPort: {{ .Values.operator.metricsPort | int64 }}
{{- if gt (int .Values.operator.replicas) 1 }}
election:
  lease: {{ include "berth.operator.name" . }}
{{- end }}
engines: {{- include "berth.engines" . | fromJson | toYaml | nindent 2 }}
devices: {{- toYaml $devices | nindent 2 }}
{{- with .Values.engineArgs.allowed }}
engineArgs:
  allowed: {{- toYaml . | nindent 4 }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
modelStore: {{- toYaml $modelStore | nindent 2 }}
compileCache:
  enabled: {{ .Values.compileCache.enabled }}
{{- with .Values.compileCache.existingClaim }}
  claimName: {{ . | quote }}
{{- end }}
downloads: {{- include "berth.downloads" . | nindent 2 }}
timing: {{- toYaml .Values.operator.timing | nindent 2 }}
room: {{- toYaml .Values.operator.room | nindent 2 }}
{{- end -}}

{{- /* What of a dictionary is not empty, as JSON: an empty priorityClassName means the cluster's default. */ -}}
{{- define "berth.operator.stated" -}}
{{- $stated := dict -}}
{{- range $name, $value := . -}}
  {{- if $value -}}
    {{- $_ := set $stated $name $value -}}
  {{- end -}}
{{- end -}}
{{- toJson $stated -}}
{{- end -}}
