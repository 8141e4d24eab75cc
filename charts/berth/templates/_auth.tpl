{{- /* API keys. Each takes the root context. */ -}}

{{- define "berth.auth.secretName" -}}
{{ .Values.auth.existingSecret | default (printf "%s-api-keys" (include "berth.fullname" .)) }}
{{- end -}}

{{- /* Names and scopes, as JSON. A default that was set to null is none. */ -}}
{{- define "berth.auth.scopes" -}}
{{- $scopes := dict -}}
{{- range $name, $key := .Values.auth.keys -}}
  {{- if $key -}}
    {{- $_ := set $scopes $name $key.scopes -}}
  {{- end -}}
{{- end -}}
{{- if not $scopes -}}
  {{- fail "auth.keys names no key: name one, or state auth.enabled=false" -}}
{{- end -}}
{{- toJson $scopes -}}
{{- end -}}

{{- /*
The name of a key that allows what is asked, the one that allows the least; empty where there is none.
Takes (dict "root" $ "scope" SCOPE).
*/ -}}
{{- define "berth.auth.keyFor" -}}
{{- $found := "" -}}
{{- $scopesFound := 99 -}}
{{- range $name, $scopes := include "berth.auth.scopes" .root | fromJson -}}
  {{- if and (has $.scope $scopes) (lt (len $scopes) $scopesFound) -}}
    {{- $found = $name -}}
    {{- $scopesFound = len $scopes -}}
  {{- end -}}
{{- end -}}
{{- $found -}}
{{- end -}}
