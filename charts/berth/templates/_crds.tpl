{{- /* Not empty where the CustomResourceDefinition in the cluster is this release's. Takes (dict "root" $ "crd" CRD). */ -}}
{{- define "berth.crds.ownedByRelease" -}}
{{- $owner := .crd.metadata.annotations | default dict -}}
{{- if and (eq (get $owner "meta.helm.sh/release-name") .root.Release.Name) (eq (get $owner "meta.helm.sh/release-namespace") .root.Release.Namespace) -}}
true
{{- end -}}
{{- end -}}
