{{- define "axoneme.labels" -}}
app.kubernetes.io/name: axoneme
app.kubernetes.io/part-of: axoneme
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "axoneme.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "axoneme.ownRedis" -}}
{{- if and .Values.redis.enabled (not .Values.redis.url) }}yes{{ end }}
{{- end }}

{{- /* The operator's configuration; keys as its config.ts reads them. */ -}}
{{- define "axoneme.config" -}}
{{- $v := .Values -}}
{{- $url := $v.redis.url | default (printf "redis://axoneme-redis.%s.svc:6379" .Release.Namespace) -}}
{{- $config := dict
  "clusterName" $v.cluster.name
  "clusterId" (int $v.cluster.id)
  "routingMode" $v.routingMode
  "masqueradeIpv4" $v.enableIPv4Masquerade
  "masqueradeIpv6" $v.enableIPv6Masquerade
  "policyEnforcementMode" $v.policyEnforcementMode
  "policyAuditMode" $v.policyAuditMode
  "ipv4PodCidrs" (ternary $v.ipam.operator.clusterPoolIPv4PodCIDRList list $v.ipv4.enabled)
  "ipv6PodCidrs" (ternary $v.ipam.operator.clusterPoolIPv6PodCIDRList list $v.ipv6.enabled)
  "ipv4MaskSize" (int $v.ipam.operator.clusterPoolIPv4MaskSize)
  "ipv6MaskSize" (int $v.ipam.operator.clusterPoolIPv6MaskSize)
  "mtu" (int $v.MTU)
  "vxlanPort" (int $v.tunnelPort)
  "port" (int $v.operator.port)
  "bootstrapPort" (int $v.operator.bootstrapPort)
  "adminPort" (int $v.operator.adminPort)
  "metricsPort" (int $v.operator.metricsPort)
  "webhookPort" (ternary (int $v.operator.webhookPort) 0 $v.admissionWebhook.enabled)
  "redisEnabled" $v.redis.enabled
  "redisUrl" (ternary $url "" $v.redis.enabled)
  "datapathRollout" $v.datapath.rollout
  "hostFirewallAdminCidrs" $v.hostFirewall.adminCidrs
  "hostFirewallAdminPorts" $v.hostFirewall.adminPorts
  "loadBalancerAlgorithm" $v.loadBalancer.algorithm
  "loadBalancerMode" $v.loadBalancer.mode
  "loadBalancerDsrDispatch" $v.loadBalancer.dsrDispatch
  "loadBalancerAcceleration" $v.loadBalancer.acceleration
  "maglevTableSize" (int $v.maglev.tableSize)
  "nodePortRange" $v.nodePort.range
  "socketLbHostNamespaceOnly" $v.socketLB.hostNamespaceOnly
  "healthzBindAddress" $v.kubeProxyReplacementHealthzBindAddr
  "serviceCidrs" $v.services.serviceCidrs
  "allowedExternalCidrs" $v.services.allowedExternalCidrs
  "serviceNoBackendResponse" $v.services.noBackendResponse
  "localRedirectPolicies" $v.localRedirectPolicies.enabled
  "localRedirectCidrs" $v.localRedirectPolicies.addressMatcherCIDRs
  "lbIpamEnabled" $v.lbIPAM.enabled
  "defaultLbServiceIpam" $v.defaultLBServiceIPAM
  "nodeIpamEnabled" $v.nodeIPAM.enabled
  "l2AnnouncementsEnabled" $v.l2announcements.enabled
  "l2LeaseDuration" $v.l2announcements.leaseDuration
  "l2LeaseRetryPeriod" $v.l2announcements.leaseRetryPeriod
  "mapSizes" $v.agent.mapSizes
  "logLevel" $v.logLevel
}}
{{- if ne $v.datapath.objects "operator" }}{{ $_ := set $config "datapathObjectsDir" (ternary "" $v.datapath.objects (eq $v.datapath.objects "agent")) }}{{ end -}}
{{- $config | toPrettyJson }}
{{- end }}

{{- /* What a schema cannot say: combinations that cannot work. */ -}}
{{- define "axoneme.check" -}}
{{- $v := .Values -}}
{{- if not (or $v.ipv4.enabled $v.ipv6.enabled) }}{{ fail "ipv4.enabled and ipv6.enabled: one of them must be true" }}{{ end -}}
{{- range $family, $on := dict "4" $v.ipv4.enabled "6" $v.ipv6.enabled }}
{{- $pools := index $v.ipam.operator (printf "clusterPoolIPv%sPodCIDRList" $family) }}
{{- $size := int (index $v.ipam.operator (printf "clusterPoolIPv%sMaskSize" $family)) }}
{{- if and $on (not $pools) }}{{ fail (printf "ipam.operator.clusterPoolIPv%sPodCIDRList: needs a pool while ipv%s.enabled is true" $family $family) }}{{ end }}
{{- range $pools }}
{{- if and $on (lt $size (int (regexFind "[0-9]+$" .))) }}
{{- fail (printf "ipam.operator.clusterPoolIPv%sMaskSize: a node's block of /%d does not fit into the pool %s" $family $size .) }}
{{- end }}
{{- end }}
{{- end }}
{{- $ports := list (int $v.operator.port) (int $v.operator.bootstrapPort) (int $v.operator.adminPort) (int $v.operator.metricsPort) (int $v.operator.webhookPort) }}
{{- $range := splitList "," $v.nodePort.range }}
{{- if or (gt (int (index $range 0)) (int (index $range 1))) (gt (int (index $range 1)) 65535) }}{{ fail (printf "nodePort.range: %s is not a first and a last port" $v.nodePort.range) }}{{ end }}
{{- if eq $v.loadBalancer.dsrDispatch "geneve" }}{{ fail "loadBalancer.dsrDispatch: geneve is not there, nodes are joined by VXLAN or native routing; use opt" }}{{ end }}
{{- if eq $v.loadBalancer.dsrDispatch "ipip" }}{{ fail "loadBalancer.dsrDispatch: ipip is for backends of the stand-alone load balancer (axoneme lb), pods do not take the outer header off; use opt" }}{{ end }}
{{- if ne (len ($ports | uniq)) (len $ports) }}{{ fail "operator: port, bootstrapPort, adminPort, metricsPort and webhookPort must differ" }}{{ end }}
{{- end }}
