{{/* Names, labels and what several pods have in common. */}}

{{/* The name of everything of the operator's in its namespace. */}}
{{- define "millrace.name" -}}
{{- if contains "millrace" .Release.Name -}}
{{- printf "%s-operator" (.Release.Name | trunc 43 | trimSuffix "-") -}}
{{- else -}}
{{- printf "%s-millrace-operator" (.Release.Name | trunc 34 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{/* The same for what is in no namespace: other releases may be in other ones. */}}
{{- define "millrace.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "millrace.name" .) -}}
{{- end }}

{{- define "millrace.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "millrace.name" .) -}}
{{- end }}

{{- define "millrace.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* Selects the operator's pods, and no worker: those are named millrace. */}}
{{- define "millrace.selector" -}}
app.kubernetes.io/name: millrace-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of every object but for the component, which each says itself. */}}
{{- define "millrace.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: millrace-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: millrace
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* What Pod Security `restricted` asks of a pod. The image has the same user. */}}
{{- define "millrace.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "millrace.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where pods of the chart run. */}}
{{- define "millrace.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* For a hook: when, in which order, and that nothing of it stays. What failed stays until it runs again, to be looked at. */}}
{{- define "millrace.hook" -}}
helm.sh/hook: {{ .event }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
