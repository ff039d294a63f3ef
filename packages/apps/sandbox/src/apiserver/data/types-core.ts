// Facts about the core/v1 types served: one line a type, "number name type". Grammar: ../schema/table.ts. Read by ../schema/builtin.ts.
export const coreTypes = `
@ io.k8s.api.core.v1
Namespace: 1 metadata ObjectMeta; 2 spec NamespaceSpec; 3 status NamespaceStatus
NamespaceSpec: 1 finalizers []s
NamespaceStatus: 1 phase s; 2 conditions []NamespaceCondition ~type
NamespaceCondition: 1 type s!; 2 status s!; 4 lastTransitionTime T; 5 reason s; 6 message s
ConfigMap: 1 metadata ObjectMeta; 2 data {}s; 3 binaryData {}y; 4 immutable *b
Secret: 1 metadata ObjectMeta; 2 data {}y; 3 type s; 4 stringData {}s; 5 immutable *b
ServiceAccount: 1 metadata ObjectMeta; 2 secrets []ObjectReference ~name; 3 imagePullSecrets []LocalObjectReference; 4 automountServiceAccountToken *b
ObjectReference#: 1 kind s; 2 namespace s; 3 name s; 4 uid s; 5 apiVersion s; 6 resourceVersion s; 7 fieldPath s
LocalObjectReference#: 1 name s
TypedLocalObjectReference#: 1 apiGroup *s; 2 kind s!; 3 name s!
TypedObjectReference: 1 apiGroup *s; 2 kind s!; 3 name s!; 4 namespace *s
SecretReference#: 1 name s; 2 namespace s
Binding: 1 metadata ObjectMeta; 2 target ObjectReference!
PodTemplate: 1 metadata ObjectMeta; 2 template PodTemplateSpec
PodTemplateSpec: 1 metadata ObjectMeta; 2 spec PodSpec

Service: 1 metadata ObjectMeta; 2 spec ServiceSpec; 3 status ServiceStatus
ServiceSpec: 1 ports []ServicePort =port,protocol %port; 2 selector {}s#; 3 clusterIP s; 4 type s; 5 externalIPs []s; 7 sessionAffinity s; 8 loadBalancerIP s; 9 loadBalancerSourceRanges []s; 10 externalName s; 11 externalTrafficPolicy s; 12 healthCheckNodePort i; 13 publishNotReadyAddresses b; 14 sessionAffinityConfig *SessionAffinityConfig; 17 ipFamilyPolicy *s; 18 clusterIPs []s; 19 ipFamilies []s; 20 allocateLoadBalancerNodePorts *b; 21 loadBalancerClass *s; 22 internalTrafficPolicy *s; 23 trafficDistribution *s
ServicePort: 1 name s; 2 protocol s=TCP; 3 port i!; 4 targetPort IS; 5 nodePort i; 6 appProtocol *s
ServiceStatus: 1 loadBalancer LoadBalancerStatus; 2 conditions []Condition ~type
LoadBalancerStatus: 1 ingress []LoadBalancerIngress
LoadBalancerIngress: 1 ip s; 2 hostname s; 3 ipMode *s; 4 ports []PortStatus
PortStatus: 1 port i!; 2 protocol s!; 3 error *s
SessionAffinityConfig: 1 clientIP *ClientIPConfig
ClientIPConfig: 1 timeoutSeconds *i
Endpoints: 1 metadata ObjectMeta; 2 subsets []EndpointSubset
EndpointSubset: 1 addresses []EndpointAddress; 2 notReadyAddresses []EndpointAddress; 3 ports []EndpointPort
EndpointAddress#: 1 ip s!; 2 targetRef *ObjectReference; 3 hostname s; 4 nodeName *s
EndpointPort#: 1 name s; 2 port i!; 3 protocol s; 4 appProtocol *s

Event: 1 metadata ObjectMeta!; 2 involvedObject ObjectReference!; 3 reason s; 4 message s; 5 source EventSource; 6 firstTimestamp T; 7 lastTimestamp T; 8 count i; 9 type s; 10 eventTime U; 11 series *EventSeries; 12 action s; 13 related *ObjectReference; 14 reportingComponent s; 15 reportingInstance s
EventSource: 1 component s; 2 host s
EventSeries: 1 count i; 2 lastObservedTime U
LimitRange: 1 metadata ObjectMeta; 2 spec LimitRangeSpec
LimitRangeSpec: 1 limits []LimitRangeItem!
LimitRangeItem: 1 type s!; 2 max {}Q; 3 min {}Q; 4 default {}Q; 5 defaultRequest {}Q; 6 maxLimitRequestRatio {}Q
ResourceQuota: 1 metadata ObjectMeta; 2 spec ResourceQuotaSpec; 3 status ResourceQuotaStatus
ResourceQuotaSpec: 1 hard {}Q; 2 scopes []s; 3 scopeSelector *ScopeSelector
ScopeSelector#: 1 matchExpressions []ScopedResourceSelectorRequirement
ScopedResourceSelectorRequirement: 1 scopeName s!; 2 operator s!; 3 values []s
ResourceQuotaStatus: 1 hard {}Q; 2 used {}Q

Node: 1 metadata ObjectMeta; 2 spec NodeSpec; 3 status NodeStatus
NodeSpec: 1 podCIDR s; 2 externalID s; 3 providerID s; 4 unschedulable b; 5 taints []Taint; 7 podCIDRs []s #set %
Taint: 1 key s!; 2 value s; 3 effect s!; 4 timeAdded *T
NodeStatus: 1 capacity {}Q; 2 allocatable {}Q; 3 phase s; 4 conditions []NodeCondition ~type; 5 addresses []NodeAddress ~type; 6 daemonEndpoints NodeDaemonEndpoints; 7 nodeInfo NodeSystemInfo; 8 images []ContainerImage; 9 volumesInUse []s; 10 volumesAttached []AttachedVolume; 12 runtimeHandlers []NodeRuntimeHandler; 13 features *NodeFeatures; 14 declaredFeatures []s
NodeCondition: 1 type s!; 2 status s!; 3 lastHeartbeatTime T; 4 lastTransitionTime T; 5 reason s; 6 message s
NodeAddress: 1 type s!; 2 address s!
NodeDaemonEndpoints: 1 kubeletEndpoint DaemonEndpoint
DaemonEndpoint: 1 Port i!
NodeSystemInfo: 1 machineID s; 2 systemUUID s; 3 bootID s; 4 kernelVersion s; 5 osImage s; 6 containerRuntimeVersion s; 7 kubeletVersion s; 8 kubeProxyVersion s; 9 operatingSystem s; 10 architecture s; 11 swap *NodeSwapStatus
NodeSwapStatus: 1 capacity *l
ContainerImage: 1 names []s; 2 sizeBytes l
AttachedVolume: 1 name s!; 2 devicePath s!
NodeRuntimeHandler: 1 name s; 2 features *NodeRuntimeHandlerFeatures
NodeRuntimeHandlerFeatures: 1 recursiveReadOnlyMounts *b; 2 userNamespaces *b
NodeFeatures: 1 supplementalGroupsPolicy *b

PersistentVolume: 1 metadata ObjectMeta; 2 spec PersistentVolumeSpec; 3 status PersistentVolumeStatus
PersistentVolumeSpec: 1 capacity {}Q; 2 ~ PersistentVolumeSource; 3 accessModes []s; 4 claimRef *ObjectReference; 5 persistentVolumeReclaimPolicy s; 6 storageClassName s; 7 mountOptions []s; 8 volumeMode *s; 9 nodeAffinity *VolumeNodeAffinity; 10 volumeAttributesClassName *s
PersistentVolumeSource: 3 hostPath *HostPathVolumeSource; 5 nfs *NFSVolumeSource; 20 local *LocalVolumeSource; 22 csi *CSIPersistentVolumeSource
LocalVolumeSource: 1 path s!; 2 fsType *s
CSIPersistentVolumeSource: 1 driver s!; 2 volumeHandle s!; 3 readOnly b; 4 fsType s; 5 volumeAttributes {}s; 6 controllerPublishSecretRef *SecretReference; 7 nodeStageSecretRef *SecretReference; 8 nodePublishSecretRef *SecretReference; 9 controllerExpandSecretRef *SecretReference; 10 nodeExpandSecretRef *SecretReference
VolumeNodeAffinity: 1 required *NodeSelector
PersistentVolumeStatus: 1 phase s; 2 message s; 3 reason s; 4 lastPhaseTransitionTime *T
PersistentVolumeClaim: 1 metadata ObjectMeta; 2 spec PersistentVolumeClaimSpec; 3 status PersistentVolumeClaimStatus
PersistentVolumeClaimSpec: 1 accessModes []s; 2 resources VolumeResourceRequirements; 3 volumeName s; 4 selector *LabelSelector; 5 storageClassName *s; 6 volumeMode *s; 7 dataSource *TypedLocalObjectReference; 8 dataSourceRef *TypedObjectReference; 9 volumeAttributesClassName *s
VolumeResourceRequirements: 1 limits {}Q; 2 requests {}Q
PersistentVolumeClaimStatus: 1 phase s; 2 accessModes []s; 3 capacity {}Q; 4 conditions []PersistentVolumeClaimCondition ~type; 5 allocatedResources {}Q; 7 allocatedResourceStatuses {}s; 8 currentVolumeAttributesClassName *s; 9 modifyVolumeStatus *ModifyVolumeStatus
PersistentVolumeClaimCondition: 1 type s!; 2 status s!; 3 lastProbeTime T; 4 lastTransitionTime T; 5 reason s; 6 message s
ModifyVolumeStatus: 1 targetVolumeAttributesClassName s; 2 status s!
PersistentVolumeClaimTemplate: 1 metadata ObjectMeta; 2 spec PersistentVolumeClaimSpec!
`;
