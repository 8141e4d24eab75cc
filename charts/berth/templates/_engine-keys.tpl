{{- /* What engines' keys are made from. Each takes the root context, and gives nothing where engines have no keys. */ -}}

{{- define "berth.engineKeys.secretName" -}}
{{ .Values.engineKeys.existingSecret | default (printf "%s-engine-keys" (include "berth.fullname" .)) }}
{{- end -}}

{{- /* The file, beside no other mount: a container of the operator has a ConfigMap at /etc/berth. */ -}}
{{- define "berth.engineKeys.file" -}}
{{- if .Values.engineKeys.enabled -}}
/etc/berth-engine-keys/secret
{{- end -}}
{{- end -}}

{{- define "berth.engineKeys.mount" -}}
{{- if .Values.engineKeys.enabled -}}
- name: engine-keys
  mountPath: /etc/berth-engine-keys
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "berth.engineKeys.volume" -}}
{{- if .Values.engineKeys.enabled -}}
- name: engine-keys
  secret:
    secretName: {{ include "berth.engineKeys.secretName" . | quote }}
    items:
      - {key: secret, path: secret}
{{- end -}}
{{- end -}}
