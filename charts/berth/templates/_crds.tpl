{{- /*
Not empty where the CustomResourceDefinition in the cluster is this release's. Takes (dict "root" $ "crd" CRD).
*/ -}}
{{- define "berth.crds.ownedByRelease" -}}
{{- $owner := .crd.metadata.annotations | default dict -}}
{{- $release := get $owner "meta.helm.sh/release-name" -}}
{{- $namespace := get $owner "meta.helm.sh/release-namespace" -}}
{{- if and (eq $release .root.Release.Name) (eq $namespace .root.Release.Namespace) -}}
true
{{- end -}}
{{- end -}}
