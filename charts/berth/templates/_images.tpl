{{- /* Image references and pull policies. Both take (dict "root" $ "image" IMAGE), IMAGE as in values.yaml. */ -}}

{{- define "berth.image" -}}
{{- $common := .root.Values.image -}}
{{- with $common.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest -}}
@{{ .image.digest }}
{{- else -}}
:{{ .image.tag | default $common.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "berth.pullPolicy" -}}
{{ .image.pullPolicy | default .root.Values.image.pullPolicy }}
{{- end -}}
