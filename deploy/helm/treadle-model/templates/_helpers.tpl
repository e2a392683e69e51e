{{- define "model.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "model.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "model.labels" -}}
{{ include "model.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: treadle
app.kubernetes.io/component: inference
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{- define "model.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "model.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "model.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Deployment or StatefulSet: what the workload is, and what the autoscaler scales. */}}
{{- define "model.kind" -}}
{{- ternary "StatefulSet" "Deployment" .Values.state.persistent -}}
{{- end -}}

{{/* The ports that the replica listens on, and where its state is. */}}
{{- define "model.port" -}}8100{{- end -}}
{{- define "model.grpcPort" -}}8101{{- end -}}
{{- define "model.folder" -}}/var/lib/treadle{{- end -}}

{{/*
How often a liveness probe, every 10 s, may fail. The replica ends by itself when a prediction has not
come back after three times the time of a request, and a minute at least: the probe is for what is beyond
that, and must be later, or it would kill what is only slow. So must it be than a model that is loaded.
*/}}
{{- define "model.livenessFailures" -}}
{{- $stuck := max 60 (mul 3 (int .Values.serve.requestTimeoutSeconds)) (int .Values.loadSeconds) -}}
{{- div (add $stuck 39) 10 -}}
{{- end -}}

{{- define "model.platformPort" -}}
{{- $url := urlParse .Values.platform.url -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* Values that are wrong together, which a schema can't say. Included by the workload, so always looked at. */}}
{{- define "model.check" -}}
{{- if not .Values.image.repository -}}
{{- fail "\n\nimage.repository is empty: name the image that holds treadle (deploy/docker/Dockerfile makes one), such as --set image.repository=ml/treadle" -}}
{{- end -}}
{{- if not .Values.platform.url -}}
{{- fail "\n\nplatform.url is empty: say where `treadle up` answers, such as --set platform.url=http://treadle.ml.svc:8090" -}}
{{- end -}}
{{- if not .Values.models -}}
{{- fail "\n\nmodels is empty: name at least one model of the platform, such as --set 'models={returns}'" -}}
{{- end -}}
{{- if and .Values.grpc.enabled (eq (int .Values.grpc.port) (int .Values.service.port)) -}}
{{- fail (printf "\n\ngrpc.port and service.port are both %d: HTTP and gRPC are two ports of one Service, so choose another for one of them" (int .Values.grpc.port)) -}}
{{- end -}}
{{- $least := add .Values.shutdown.preStopSeconds 15 | int -}}
{{- if lt (int .Values.shutdown.gracePeriodSeconds) $least -}}
{{- fail (printf "\n\nshutdown.gracePeriodSeconds is %d: a replica would be killed before it has handed its predictions in; make it at least %d (shutdown.preStopSeconds + 15)" (int .Values.shutdown.gracePeriodSeconds) $least) -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "\n\nautoscaling.minReplicas is %d, over maxReplicas, %d: raise autoscaling.maxReplicas" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and .enabled (eq .metric "cpu") (not (dig "requests" "cpu" "" $.Values.resources)) -}}
{{- fail "\n\nautoscaling.metric is cpu, but resources.requests.cpu is not set, and the target is a share of it: set it, or scale by --set autoscaling.metric=concurrency" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.gpu.enabled (hasKey (.Values.resources.limits | default dict) .Values.gpu.resource) -}}
{{- fail (printf "\n\nresources.limits names %s, and gpu.enabled sets it too: take it out of resources.limits and use gpu.count" .Values.gpu.resource) -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) .Values.serviceAccount.annotations -}}
{{- fail "\n\nserviceAccount.annotations are set, but serviceAccount.create is false: annotate the account where it is made" -}}
{{- end -}}
{{- end -}}
