{{/* The pod, the same in a Deployment and in a StatefulSet. */}}
{{- define "model.pod" -}}
metadata:
  labels:
    {{- include "model.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # The replica reads its settings when it starts.
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "model.serviceAccount" . }}
  # The replica asks nothing of the cluster.
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.shutdown.gracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ .Values.runAsUser }}
    runAsGroup: {{ .Values.runAsUser }}
    fsGroup: {{ .Values.runAsUser }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- $selector := .Values.nodeSelector }}
  {{- $tolerations := .Values.tolerations }}
  {{- if .Values.gpu.enabled }}
  {{- $selector = merge (deepCopy .Values.nodeSelector) .Values.gpu.nodeSelector }}
  {{- $tolerations = concat .Values.tolerations .Values.gpu.tolerations }}
  {{- end }}
  {{- with $selector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpread.enabled }}
  topologySpreadConstraints:
    {{- range .Values.topologySpread.topologyKeys }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "model.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: replica
      image: {{ include "model.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [treadle]
      args:
        - serve
        - --name
        - $(POD_NAME)
        {{- range .Values.models }}
        - --model
        - {{ . | quote }}
        {{- end }}
        {{- with .Values.environment }}
        - --env
        - {{ . | quote }}
        {{- end }}
      # Its state is in .treadle of the working folder, its settings are in treadle.toml.
      workingDir: {{ include "model.folder" . }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: TREADLE_URL
          value: {{ .Values.platform.url | quote }}
        - name: HOME
          value: /tmp
        - name: PYTHONUNBUFFERED
          value: "1"
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: {{ include "model.port" . }}
          protocol: TCP
        {{- if .Values.grpc.enabled }}
        - name: grpc
          containerPort: {{ include "model.grpcPort" . }}
          protocol: TCP
        {{- end }}
      startupProbe:
        httpGet:
          path: /v2/health/live
          port: http
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: {{ div (add .Values.startSeconds 1) 2 }}
      livenessProbe:
        httpGet:
          path: /v2/health/live
          port: http
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: {{ include "model.livenessFailures" . }}
      readinessProbe:
        {{- if .Values.grpc.enabled }}
        # It is the same readiness; asked this way, the second door is known to be open as well.
        grpc:
          port: {{ include "model.grpcPort" . }}
        {{- else }}
        httpGet:
          path: /v2/health/ready
          port: http
        {{- end }}
        periodSeconds: 3
        timeoutSeconds: 3
        failureThreshold: 2
      {{- if .Values.shutdown.preStopSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ .Values.shutdown.preStopSeconds }}
      {{- end }}
      {{- $resources := deepCopy .Values.resources }}
      {{- if .Values.gpu.enabled }}
      {{- $gpu := dict .Values.gpu.resource (int .Values.gpu.count) }}
      {{- $_ := set $resources "limits" (merge (deepCopy ($resources.limits | default dict)) $gpu) }}
      {{- end }}
      resources:
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: state
          mountPath: {{ include "model.folder" . }}
        - name: config
          mountPath: {{ include "model.folder" . }}/treadle.toml
          subPath: treadle.toml
          readOnly: true
        - name: tmp
          mountPath: /tmp
  volumes:
    - name: config
      configMap:
        name: {{ include "model.fullname" . }}
    - name: tmp
      emptyDir:
        sizeLimit: 256Mi
    {{- if not .Values.state.persistent }}
    - name: state
      emptyDir:
        sizeLimit: {{ .Values.state.size }}
    {{- end }}
{{- end -}}
