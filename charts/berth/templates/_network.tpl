{{- /* Parts of NetworkPolicies. Those that need values take the root context. */ -}}

{{- define "berth.network.labels" -}}
{{ include "berth.labels" (dict "root" .root "component" .component) }}
{{- end -}}

{{- /* Pods of this release. Takes (dict "root" $ "components" LIST). */ -}}
{{- define "berth.network.parts" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: berth
      app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: {{ toJson .components }}}
{{- end -}}

{{- define "berth.network.engines" -}}
app.kubernetes.io/name: berth-engine
{{- end -}}

{{- define "berth.network.downloads" -}}
app.kubernetes.io/name: berth-download
{{- end -}}

{{- /* A rule to the cluster's DNS, wherever that is: on nodes, in kube-system, or outside. */ -}}
{{- define "berth.network.dns" -}}
- ports:
    {{- range $port := .Values.networkPolicy.dnsPorts }}
    - {protocol: UDP, port: {{ $port }}}
    - {protocol: TCP, port: {{ $port }}}
    {{- end }}
{{- end -}}

{{- define "berth.network.apiServer" -}}
{{ include "berth.network.outside" .Values.networkPolicy.apiServer }}
{{- end -}}

{{- /* The hub's port as its address has it, and what is stated besides. */ -}}
{{- define "berth.network.hub" -}}
{{- $url := urlParse (.Values.downloads.hubEndpoint | default "https://huggingface.co") -}}
{{- $stated := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port := $stated | default (eq $url.scheme "http" | ternary "80" "443") | int -}}
{{- $ports := concat (list $port) .Values.networkPolicy.hub.ports | uniq -}}
{{ include "berth.network.outside" (dict "ports" $ports "cidrs" .Values.networkPolicy.hub.cidrs) }}
{{- end -}}

{{- /* A rule to addresses that no selector names. Takes (dict "ports" LIST "cidrs" LIST); no cidrs: everywhere. */ -}}
{{- define "berth.network.outside" -}}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . | int }}}
    {{- end }}
  {{- with .cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end -}}
