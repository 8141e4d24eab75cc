{{- /*
The engines that have an image, as JSON: backend → device → {image, pullPolicy}.
A default that was set to null is none.
*/ -}}
{{- define "berth.engines" -}}
{{- $engines := dict -}}
{{- range $backend, $devices := .Values.engines -}}
  {{- $images := dict -}}
  {{- range $device, $engine := $devices -}}
    {{- if $engine -}}
      {{- $source := dict "root" $ "image" $engine.image -}}
      {{- $pullPolicy := include "berth.pullPolicy" $source -}}
      {{- $_ := set $images $device (dict "image" (include "berth.image" $source) "pullPolicy" $pullPolicy) -}}
    {{- end -}}
  {{- end -}}
  {{- if $images -}}
    {{- $_ := set $engines $backend $images -}}
  {{- end -}}
{{- end -}}
{{- toJson $engines -}}
{{- end -}}

{{- /* The same for the routers, as JSON: backend → list of devices. */ -}}
{{- define "berth.devicesByEngine" -}}
{{- $devices := dict -}}
{{- range $backend, $images := include "berth.engines" . | fromJson -}}
  {{- $_ := set $devices $backend (keys $images | sortAlpha) -}}
{{- end -}}
{{- toJson $devices -}}
{{- end -}}

{{- define "berth.checkDefaultEngine" -}}
{{- $backend := .Values.router.defaultBackend -}}
{{- $device := .Values.router.defaultDevice -}}
{{- if not (dig $backend $device false (include "berth.engines" . | fromJson)) -}}
  {{- $stated := printf "router.defaultBackend is %s and router.defaultDevice is %s" $backend $device -}}
  {{- $missing := printf "engines.%s.%s has no image" $backend $device -}}
  {{- fail (printf "%s, but %s: give it one, or choose another default" $stated $missing) -}}
{{- end -}}
{{- end -}}

{{/* The aliases, without those that a later file of values removes by null. */}}
{{- define "berth.aliases" -}}
{{- $aliases := dict -}}
{{- range $name, $model := .Values.aliases -}}
  {{- if $model -}}
    {{- $_ := set $aliases $name $model -}}
  {{- end -}}
{{- end -}}
{{- toJson $aliases -}}
{{- end -}}

{{- /* The profiles, as JSON. One that was set to null is none. */ -}}
{{- define "berth.profiles" -}}
{{- $profiles := dict -}}
{{- range $name, $profile := .Values.profiles -}}
  {{- if $profile -}}
    {{- $_ := set $profiles $name $profile -}}
  {{- end -}}
{{- end -}}
{{- toJson $profiles -}}
{{- end -}}
