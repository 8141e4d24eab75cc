{{- /*
How models are downloaded, in the terms of the operator's settings.
What is empty is left out: the operator's default holds.
*/ -}}
{{- define "berth.downloads" -}}
{{- with .Values.downloads -}}
{{- $image := dict "root" $ "image" .image -}}
image: {{ include "berth.image" $image }}
pullPolicy: {{ include "berth.pullPolicy" $image }}
{{- with .hubEndpoint }}
hubEndpoint: {{ . | quote }}
{{- end }}
{{- with .tokenSecret.name }}
tokenSecret: {{- toYaml $.Values.downloads.tokenSecret | nindent 2 }}
{{- end }}
allowPickle: {{ .allowPickle }}
minFreeBytes: {{ .minFreeBytes | int64 }}
keepSeconds: {{ .keepSeconds | int64 }}
backoffLimit: {{ .backoffLimit | int64 }}
{{- with .resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .extraEnv }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}
