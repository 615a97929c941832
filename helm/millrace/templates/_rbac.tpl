{{/*
Grants rules to a ServiceAccount in the namespaces that the operator serves: by a ClusterRole where these are all of them,
and by a Role in each otherwise. Takes:

  chart      the chart's root
  suffix     of the names
  component  for the labels
  rules      as YAML
  account    the ServiceAccount, which is in the release's namespace
  hook       the event, where all of it is a hook's
*/}}
{{- define "millrace.grant" -}}
{{- $all := empty .chart.Values.watchNamespaces -}}
{{- range $namespace := ternary (list "") .chart.Values.watchNamespaces $all }}
{{- $place := dict "chart" $.chart "suffix" $.suffix "component" $.component "hook" $.hook "namespace" $namespace }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "ClusterRole" "Role" $all }}
metadata:
  {{- include "millrace.grantMetadata" (merge (dict "weight" "-2") $place) | nindent 2 }}
rules:
  {{- $.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "ClusterRoleBinding" "RoleBinding" $all }}
metadata:
  {{- include "millrace.grantMetadata" (merge (dict "weight" "-1") $place) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ ternary "ClusterRole" "Role" $all }}
  name: {{ include "millrace.grantName" $place }}
subjects:
  - kind: ServiceAccount
    name: {{ $.account }}
    namespace: {{ $.chart.Release.Namespace }}
{{- end }}
{{- end }}

{{/* One operator may serve a namespace that another one is installed in, so the name has the release's namespace, too. */}}
{{- define "millrace.grantName" -}}
{{- include "millrace.clusterName" .chart }}{{ .suffix }}
{{- end }}

{{- define "millrace.grantMetadata" -}}
name: {{ include "millrace.grantName" . }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "millrace.labels" .chart | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
{{- with .hook }}
annotations:
  {{- include "millrace.hook" (dict "event" . "weight" $.weight) | nindent 2 }}
{{- end }}
{{- end }}

{{/* What the operator does, and nothing else: operator/src/cluster.rs has every call. */}}
{{- define "millrace.operatorRules" -}}
# StreamJobs: it watches them, reads one anew before it acts, and puts its finalizer on them and takes it off.
- apiGroups: [millrace.dev]
  resources: [streamjobs]
  verbs: [get, list, watch, patch]
# The status of StreamJobs is where it writes down what it does, before it does it.
- apiGroups: [millrace.dev]
  resources: [streamjobs/status]
  verbs: [update]
# Savepoints: as with StreamJobs; and those of a job's schedule it makes and deletes itself.
- apiGroups: [millrace.dev]
  resources: [savepoints]
  verbs: [get, list, watch, create, patch, delete]
# The status of Savepoints says how far one is, and where it is.
- apiGroups: [millrace.dev]
  resources: [savepoints/status]
  verbs: [update]
# A job's workers are a StatefulSet. It goes with its owner, the StreamJob; and where a job's volumes change, which a
# StatefulSet can't, it is deleted to be made anew.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
# Volumes on their way out have to be gone before pods by the same names are made. Those of a job whose volumes change, and
# of pods that it has no more, are deleted.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, delete]
# Pods tell how the workers are. Those of another revision of the job are deleted, since two can't work side by side.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
# ConfigMaps hold a revision's job, and the SQL of jobs that keep it in one. Revisions that nothing goes back to are deleted.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, delete]
# Secrets that a job names, to reach its Kafka and its object store; and the workers' token, which is made once. They can
# be neither listed nor watched.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
# Each job has a ServiceAccount without a token, and a headless Service for its pods' names. They are applied, not read.
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [create, patch]
# Each job has a NetworkPolicy, which keeps its pods from where clouds hand out credentials.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, patch]
# Each job has a PodDisruptionBudget, so that a drain takes one of its pods at a time.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch]
# Events say what has happened to a job; one that is repeated is counted in the first.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What lets jobs go after an uninstall: operator/src/release.rs. */}}
{{- define "millrace.releaseRules" -}}
# It looks which StreamJobs and Savepoints have the operator's finalizer, and takes it off.
- apiGroups: [millrace.dev]
  resources: [streamjobs, savepoints]
  verbs: [list, patch]
{{- end }}
