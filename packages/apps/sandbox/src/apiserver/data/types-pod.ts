// Facts about Pod and everything below it. Grammar: ../schema/table.ts.
const containerFields =
  '1 name s!; 2 image s; 3 command []s; 4 args []s; 5 workingDir s; 6 ports []ContainerPort =containerPort,protocol %containerPort; 7 env []EnvVar ~name; 8 resources ResourceRequirements; 9 volumeMounts []VolumeMount ~mountPath; 10 livenessProbe *Probe; 11 readinessProbe *Probe; 12 lifecycle *Lifecycle; 13 terminationMessagePath s; 14 imagePullPolicy s; 15 securityContext *SecurityContext; 16 stdin b; 17 stdinOnce b; 18 tty b; 19 envFrom []EnvFromSource; 20 terminationMessagePolicy s; 21 volumeDevices []VolumeDevice ~devicePath; 22 startupProbe *Probe; 23 resizePolicy []ContainerResizePolicy; 24 restartPolicy *s; 25 restartPolicyRules []ContainerRestartRule';

export const podTypes = `
@ io.k8s.api.core.v1
Pod: 1 metadata ObjectMeta; 2 spec PodSpec; 3 status PodStatus
PodSpec: 1 volumes []Volume ~name &; 2 containers []Container! ~name; 3 restartPolicy s; 4 terminationGracePeriodSeconds *l; 5 activeDeadlineSeconds *l; 6 dnsPolicy s; 7 nodeSelector {}s#; 8 serviceAccountName s; 9 serviceAccount s; 10 nodeName s; 11 hostNetwork b; 12 hostPID b; 13 hostIPC b; 14 securityContext *PodSecurityContext; 15 imagePullSecrets []LocalObjectReference ~name; 16 hostname s; 17 subdomain s; 18 affinity *Affinity; 19 schedulerName s; 20 initContainers []Container ~name; 21 automountServiceAccountToken *b; 22 tolerations []Toleration; 23 hostAliases []HostAlias ~ip; 24 priorityClassName s; 25 priority *i; 26 dnsConfig *PodDNSConfig; 27 shareProcessNamespace *b; 28 readinessGates []PodReadinessGate; 29 runtimeClassName *s; 30 enableServiceLinks *b; 31 preemptionPolicy *s; 32 overhead {}Q; 33 topologySpreadConstraints []TopologySpreadConstraint =topologyKey,whenUnsatisfiable %topologyKey; 34 ephemeralContainers []EphemeralContainer ~name; 35 setHostnameAsFQDN *b; 36 os *PodOS; 37 hostUsers *b; 38 schedulingGates []PodSchedulingGate ~name; 39 resourceClaims []PodResourceClaim ~name &; 40 resources *ResourceRequirements; 41 hostnameOverride *s
Container: ${containerFields}
EphemeralContainer: 1 ~ EphemeralContainerCommon; 2 targetContainerName s
EphemeralContainerCommon: ${containerFields}
ContainerPort: 1 name s; 2 hostPort i; 3 containerPort i!; 4 protocol s=TCP; 5 hostIP s
EnvVar: 1 name s!; 2 value s; 3 valueFrom *EnvVarSource
EnvVarSource: 1 fieldRef *ObjectFieldSelector; 2 resourceFieldRef *ResourceFieldSelector; 3 configMapKeyRef *ConfigMapKeySelector; 4 secretKeyRef *SecretKeySelector; 5 fileKeyRef *FileKeySelector
ObjectFieldSelector#: 1 apiVersion s; 2 fieldPath s!
ResourceFieldSelector#: 1 containerName s; 2 resource s!; 3 divisor Q
ConfigMapKeySelector#: 1 ~ LocalObjectReference; 2 key s!; 3 optional *b
SecretKeySelector#: 1 ~ LocalObjectReference; 2 key s!; 3 optional *b
FileKeySelector#: 1 volumeName s!; 2 path s!; 3 key s!; 4 optional *b
EnvFromSource: 1 prefix s; 2 configMapRef *ConfigMapEnvSource; 3 secretRef *SecretEnvSource
ConfigMapEnvSource: 1 ~ LocalObjectReference; 2 optional *b
SecretEnvSource: 1 ~ LocalObjectReference; 2 optional *b
ResourceRequirements: 1 limits {}Q; 2 requests {}Q; 3 claims []ResourceClaim =name
ResourceClaim: 1 name s!; 2 request s
ContainerResizePolicy: 1 resourceName s!; 2 restartPolicy s!
ContainerRestartRule: 1 action s!; 2 exitCodes *ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes: 1 operator s!; 2 values []i #set
VolumeMount: 1 name s!; 2 readOnly b; 3 mountPath s!; 4 subPath s; 5 mountPropagation *s; 6 subPathExpr s; 7 recursiveReadOnly *s
VolumeDevice: 1 name s!; 2 devicePath s!
Probe: 1 ~ ProbeHandler; 2 initialDelaySeconds i; 3 timeoutSeconds i; 4 periodSeconds i; 5 successThreshold i; 6 failureThreshold i; 7 terminationGracePeriodSeconds *l
ProbeHandler: 1 exec *ExecAction; 2 httpGet *HTTPGetAction; 3 tcpSocket *TCPSocketAction; 4 grpc *GRPCAction
ExecAction: 1 command []s
HTTPGetAction: 1 path s; 2 port IS!; 3 host s; 4 scheme s; 5 httpHeaders []HTTPHeader
HTTPHeader: 1 name s!; 2 value s!
TCPSocketAction: 1 port IS!; 2 host s
GRPCAction: 1 port i!; 2 service *s
Lifecycle: 1 postStart *LifecycleHandler; 2 preStop *LifecycleHandler; 3 stopSignal *s
LifecycleHandler: 1 exec *ExecAction; 2 httpGet *HTTPGetAction; 3 tcpSocket *TCPSocketAction; 4 sleep *SleepAction
SleepAction: 1 seconds l!
SecurityContext: 1 capabilities *Capabilities; 2 privileged *b; 3 seLinuxOptions *SELinuxOptions; 4 runAsUser *l; 5 runAsNonRoot *b; 6 readOnlyRootFilesystem *b; 7 allowPrivilegeEscalation *b; 8 runAsGroup *l; 9 procMount *s; 10 windowsOptions *WindowsSecurityContextOptions; 11 seccompProfile *SeccompProfile; 12 appArmorProfile *AppArmorProfile
Capabilities: 1 add []s; 2 drop []s
SELinuxOptions: 1 user s; 2 role s; 3 type s; 4 level s
WindowsSecurityContextOptions: 1 gmsaCredentialSpecName *s; 2 gmsaCredentialSpec *s; 3 runAsUserName *s; 4 hostProcess *b
SeccompProfile: 1 type s!; 2 localhostProfile *s
AppArmorProfile: 1 type s!; 2 localhostProfile *s
PodSecurityContext: 1 seLinuxOptions *SELinuxOptions; 2 runAsUser *l; 3 runAsNonRoot *b; 4 supplementalGroups []l; 5 fsGroup *l; 6 runAsGroup *l; 7 sysctls []Sysctl; 8 windowsOptions *WindowsSecurityContextOptions; 9 fsGroupChangePolicy *s; 10 seccompProfile *SeccompProfile; 11 appArmorProfile *AppArmorProfile; 12 supplementalGroupsPolicy *s; 13 seLinuxChangePolicy *s
Sysctl: 1 name s!; 2 value s!
Toleration: 1 key s; 2 operator s; 3 value s; 4 effect s; 5 tolerationSeconds *l
HostAlias: 1 ip s!; 2 hostnames []s
PodDNSConfig: 1 nameservers []s; 2 searches []s; 3 options []PodDNSConfigOption
PodDNSConfigOption: 1 name s; 2 value *s
PodReadinessGate: 1 conditionType s!
TopologySpreadConstraint: 1 maxSkew i!; 2 topologyKey s!; 3 whenUnsatisfiable s!; 4 labelSelector *LabelSelector; 5 minDomains *i; 6 nodeAffinityPolicy *s; 7 nodeTaintsPolicy *s; 8 matchLabelKeys []s
PodOS: 1 name s!
PodSchedulingGate: 1 name s!
PodResourceClaim: 1 name s!; 3 resourceClaimName *s; 4 resourceClaimTemplateName *s
Affinity: 1 nodeAffinity *NodeAffinity; 2 podAffinity *PodAffinity; 3 podAntiAffinity *PodAntiAffinity
NodeAffinity: 1 requiredDuringSchedulingIgnoredDuringExecution *NodeSelector; 2 preferredDuringSchedulingIgnoredDuringExecution []PreferredSchedulingTerm
NodeSelector#: 1 nodeSelectorTerms []NodeSelectorTerm!
NodeSelectorTerm#: 1 matchExpressions []NodeSelectorRequirement; 2 matchFields []NodeSelectorRequirement
NodeSelectorRequirement: 1 key s!; 2 operator s!; 3 values []s
PreferredSchedulingTerm: 1 weight i!; 2 preference NodeSelectorTerm!
PodAffinity: 1 requiredDuringSchedulingIgnoredDuringExecution []PodAffinityTerm; 2 preferredDuringSchedulingIgnoredDuringExecution []WeightedPodAffinityTerm
PodAntiAffinity: 1 requiredDuringSchedulingIgnoredDuringExecution []PodAffinityTerm; 2 preferredDuringSchedulingIgnoredDuringExecution []WeightedPodAffinityTerm
WeightedPodAffinityTerm: 1 weight i!; 2 podAffinityTerm PodAffinityTerm!
PodAffinityTerm: 1 labelSelector *LabelSelector; 2 namespaces []s; 3 topologyKey s!; 4 namespaceSelector *LabelSelector; 5 matchLabelKeys []s; 6 mismatchLabelKeys []s

Volume: 1 name s!; 2 ~ VolumeSource
VolumeSource: 1 hostPath *HostPathVolumeSource; 2 emptyDir *EmptyDirVolumeSource; 6 secret *SecretVolumeSource; 7 nfs *NFSVolumeSource; 10 persistentVolumeClaim *PersistentVolumeClaimVolumeSource; 16 downwardAPI *DownwardAPIVolumeSource; 19 configMap *ConfigMapVolumeSource; 26 projected *ProjectedVolumeSource; 28 csi *CSIVolumeSource; 29 ephemeral *EphemeralVolumeSource; 30 image *ImageVolumeSource
HostPathVolumeSource: 1 path s!; 2 type *s
EmptyDirVolumeSource: 1 medium s; 2 sizeLimit *Q
SecretVolumeSource: 1 secretName s; 2 items []KeyToPath; 3 defaultMode *i; 4 optional *b
KeyToPath: 1 key s!; 2 path s!; 3 mode *i
NFSVolumeSource: 1 server s!; 2 path s!; 3 readOnly b
PersistentVolumeClaimVolumeSource: 1 claimName s!; 2 readOnly b
DownwardAPIVolumeSource: 1 items []DownwardAPIVolumeFile; 2 defaultMode *i
DownwardAPIVolumeFile: 1 path s!; 2 fieldRef *ObjectFieldSelector; 3 resourceFieldRef *ResourceFieldSelector; 4 mode *i
ConfigMapVolumeSource: 1 ~ LocalObjectReference; 2 items []KeyToPath; 3 defaultMode *i; 4 optional *b
ProjectedVolumeSource: 1 sources []VolumeProjection; 2 defaultMode *i
VolumeProjection: 1 secret *SecretProjection; 2 downwardAPI *DownwardAPIProjection; 3 configMap *ConfigMapProjection; 4 serviceAccountToken *ServiceAccountTokenProjection; 5 clusterTrustBundle *ClusterTrustBundleProjection; 6 podCertificate *PodCertificateProjection
SecretProjection: 1 ~ LocalObjectReference; 2 items []KeyToPath; 4 optional *b
DownwardAPIProjection: 1 items []DownwardAPIVolumeFile
ConfigMapProjection: 1 ~ LocalObjectReference; 2 items []KeyToPath; 4 optional *b
ServiceAccountTokenProjection: 1 audience s; 2 expirationSeconds *l; 3 path s!
ClusterTrustBundleProjection: 1 name *s; 2 signerName *s; 3 labelSelector *LabelSelector; 4 path s!; 5 optional *b
PodCertificateProjection: 1 signerName s; 2 keyType s; 3 maxExpirationSeconds *i; 4 credentialBundlePath s; 5 keyPath s; 6 certificateChainPath s; 7 userAnnotations {}s
CSIVolumeSource: 1 driver s!; 2 readOnly *b; 3 fsType *s; 4 volumeAttributes {}s; 5 nodePublishSecretRef *LocalObjectReference
EphemeralVolumeSource: 1 volumeClaimTemplate *PersistentVolumeClaimTemplate
ImageVolumeSource: 1 reference s; 2 pullPolicy s

PodStatus: 1 phase s; 2 conditions []PodCondition ~type; 3 message s; 4 reason s; 5 hostIP s; 6 podIP s; 7 startTime *T; 8 containerStatuses []ContainerStatus; 9 qosClass s; 10 initContainerStatuses []ContainerStatus; 11 nominatedNodeName s; 12 podIPs []PodIP ~ip; 13 ephemeralContainerStatuses []ContainerStatus; 14 resize s; 15 resourceClaimStatuses []PodResourceClaimStatus ~name &; 16 hostIPs []HostIP %ip; 17 observedGeneration l; 19 allocatedResources {}Q; 20 resources *ResourceRequirements
PodCondition: 1 type s!; 2 status s!; 3 lastProbeTime T; 4 lastTransitionTime T; 5 reason s; 6 message s; 7 observedGeneration l
PodIP: 1 ip s!
HostIP: 1 ip s!
PodResourceClaimStatus: 1 name s!; 2 resourceClaimName *s
ContainerStatus: 1 name s!; 2 state ContainerState; 3 lastState ContainerState; 4 ready b!; 5 restartCount i!; 6 image s!; 7 imageID s!; 8 containerID s; 9 started *b; 10 allocatedResources {}Q; 11 resources *ResourceRequirements; 12 volumeMounts []VolumeMountStatus ~mountPath; 13 user *ContainerUser; 14 allocatedResourcesStatus []ResourceStatus ~name; 15 stopSignal *s
ContainerState: 1 waiting *ContainerStateWaiting; 2 running *ContainerStateRunning; 3 terminated *ContainerStateTerminated
ContainerStateWaiting: 1 reason s; 2 message s
ContainerStateRunning: 1 startedAt T
ContainerStateTerminated: 1 exitCode i!; 2 signal i; 3 reason s; 4 message s; 5 startedAt T; 6 finishedAt T; 7 containerID s
VolumeMountStatus: 1 name s!; 2 mountPath s!; 3 readOnly b; 4 recursiveReadOnly *s
ContainerUser: 1 linux *LinuxContainerUser
LinuxContainerUser: 1 uid l!; 2 gid l!; 3 supplementalGroups []l
ResourceStatus: 1 name s!; 2 resources []ResourceHealth =resourceID
ResourceHealth: 1 resourceID s!; 2 health s
`;
