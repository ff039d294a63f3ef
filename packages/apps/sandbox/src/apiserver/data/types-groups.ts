// Facts about the named API groups served. Grammar: ../schema/table.ts.
export const groupTypes = `
@ io.k8s.api.apps.v1
Deployment: 1 metadata ObjectMeta; 2 spec DeploymentSpec; 3 status DeploymentStatus
DeploymentSpec: 1 replicas *i; 2 selector *LabelSelector!; 3 template PodTemplateSpec!; 4 strategy DeploymentStrategy &; 5 minReadySeconds i; 6 revisionHistoryLimit *i; 7 paused b; 9 progressDeadlineSeconds *i
DeploymentStrategy: 1 type s; 2 rollingUpdate *RollingUpdateDeployment
RollingUpdateDeployment: 1 maxUnavailable *IS; 2 maxSurge *IS
DeploymentStatus: 1 observedGeneration l; 2 replicas i; 3 updatedReplicas i; 4 availableReplicas i; 5 unavailableReplicas i; 6 conditions []DeploymentCondition ~type; 7 readyReplicas i; 8 collisionCount *i; 9 terminatingReplicas *i
DeploymentCondition: 1 type s!; 2 status s!; 4 reason s; 5 message s; 6 lastUpdateTime T; 7 lastTransitionTime T
ReplicaSet: 1 metadata ObjectMeta; 2 spec ReplicaSetSpec; 3 status ReplicaSetStatus
ReplicaSetSpec: 1 replicas *i; 2 selector *LabelSelector!; 3 template PodTemplateSpec; 4 minReadySeconds i
ReplicaSetStatus: 1 replicas i!; 2 fullyLabeledReplicas i; 3 observedGeneration l; 4 readyReplicas i; 5 availableReplicas i; 6 conditions []WorkloadCondition ~type; 7 terminatingReplicas *i
WorkloadCondition: 1 type s!; 2 status s!; 3 lastTransitionTime T; 4 reason s; 5 message s
DaemonSet: 1 metadata ObjectMeta; 2 spec DaemonSetSpec; 3 status DaemonSetStatus
DaemonSetSpec: 1 selector *LabelSelector!; 2 template PodTemplateSpec!; 3 updateStrategy DaemonSetUpdateStrategy; 4 minReadySeconds i; 6 revisionHistoryLimit *i
DaemonSetUpdateStrategy: 1 type s; 2 rollingUpdate *RollingUpdateDaemonSet
RollingUpdateDaemonSet: 1 maxUnavailable *IS; 2 maxSurge *IS
DaemonSetStatus: 1 currentNumberScheduled i!; 2 numberMisscheduled i!; 3 desiredNumberScheduled i!; 4 numberReady i!; 5 observedGeneration l; 6 updatedNumberScheduled i; 7 numberAvailable i; 8 numberUnavailable i; 9 collisionCount *i; 10 conditions []WorkloadCondition ~type
StatefulSet: 1 metadata ObjectMeta; 2 spec StatefulSetSpec; 3 status StatefulSetStatus
StatefulSetSpec: 1 replicas *i; 2 selector *LabelSelector!; 3 template PodTemplateSpec!; 4 volumeClaimTemplates []PersistentVolumeClaim; 5 serviceName s; 6 podManagementPolicy s; 7 updateStrategy StatefulSetUpdateStrategy; 8 revisionHistoryLimit *i; 9 minReadySeconds i; 10 persistentVolumeClaimRetentionPolicy *StatefulSetPersistentVolumeClaimRetentionPolicy; 11 ordinals *StatefulSetOrdinals
StatefulSetUpdateStrategy: 1 type s; 2 rollingUpdate *RollingUpdateStatefulSetStrategy
RollingUpdateStatefulSetStrategy: 1 partition *i; 2 maxUnavailable *IS
StatefulSetPersistentVolumeClaimRetentionPolicy: 1 whenDeleted s; 2 whenScaled s
StatefulSetOrdinals: 1 start i
StatefulSetStatus: 1 observedGeneration l; 2 replicas i!; 3 readyReplicas i; 4 currentReplicas i; 5 updatedReplicas i; 6 currentRevision s; 7 updateRevision s; 9 collisionCount *i; 10 conditions []WorkloadCondition ~type; 11 availableReplicas i
ControllerRevision: 1 metadata ObjectMeta; 2 data R; 3 revision l!

@ io.k8s.api.batch.v1
Job: 1 metadata ObjectMeta; 2 spec JobSpec; 3 status JobStatus
JobSpec: 1 parallelism *i; 2 completions *i; 3 activeDeadlineSeconds *l; 4 selector *LabelSelector; 5 manualSelector *b; 6 template PodTemplateSpec!; 7 backoffLimit *i; 8 ttlSecondsAfterFinished *i; 9 completionMode *s; 10 suspend *b; 11 podFailurePolicy *PodFailurePolicy; 12 backoffLimitPerIndex *i; 13 maxFailedIndexes *i; 14 podReplacementPolicy *s; 15 managedBy *s; 16 successPolicy *SuccessPolicy
PodFailurePolicy: 1 rules []PodFailurePolicyRule!
PodFailurePolicyRule: 1 action s!; 2 onExitCodes *PodFailurePolicyOnExitCodesRequirement; 3 onPodConditions []PodFailurePolicyOnPodConditionsPattern
PodFailurePolicyOnExitCodesRequirement: 1 containerName *s; 2 operator s!; 3 values []i #set
PodFailurePolicyOnPodConditionsPattern: 1 type s!; 2 status s!
SuccessPolicy: 1 rules []SuccessPolicyRule!
SuccessPolicyRule: 1 succeededIndexes *s; 2 succeededCount *i
JobStatus: 1 conditions []JobCondition %type; 2 startTime *T; 3 completionTime *T; 4 active i; 5 succeeded i; 6 failed i; 7 completedIndexes s; 8 uncountedTerminatedPods *UncountedTerminatedPods; 9 ready *i; 10 failedIndexes *s; 11 terminating *i
JobCondition: 1 type s!; 2 status s!; 3 lastProbeTime T; 4 lastTransitionTime T; 5 reason s; 6 message s
UncountedTerminatedPods: 1 succeeded []s #set; 2 failed []s #set
CronJob: 1 metadata ObjectMeta; 2 spec CronJobSpec; 3 status CronJobStatus
CronJobSpec: 1 schedule s!; 2 startingDeadlineSeconds *l; 3 concurrencyPolicy s; 4 suspend *b; 5 jobTemplate JobTemplateSpec!; 6 successfulJobsHistoryLimit *i; 7 failedJobsHistoryLimit *i; 8 timeZone *s
JobTemplateSpec: 1 metadata ObjectMeta; 2 spec JobSpec
CronJobStatus: 1 active []ObjectReference; 4 lastScheduleTime *T; 5 lastSuccessfulTime *T

@ io.k8s.api.autoscaling.v1
Scale: 1 metadata ObjectMeta; 2 spec ScaleSpec; 3 status ScaleStatus
ScaleSpec: 1 replicas i
ScaleStatus: 1 replicas i!; 2 selector s

@ io.k8s.api.autoscaling.v2
HorizontalPodAutoscaler: 1 metadata ObjectMeta; 2 spec HorizontalPodAutoscalerSpec; 3 status HorizontalPodAutoscalerStatus
HorizontalPodAutoscalerSpec: 1 scaleTargetRef CrossVersionObjectReference!; 2 minReplicas *i; 3 maxReplicas i!; 4 metrics []MetricSpec; 5 behavior *HorizontalPodAutoscalerBehavior
CrossVersionObjectReference#: 1 kind s!; 2 name s!; 3 apiVersion s
MetricSpec: 1 type s!; 2 object *ObjectMetricSource; 3 pods *PodsMetricSource; 4 resource *ResourceMetricSource; 5 external *PodsMetricSource; 7 containerResource *ContainerResourceMetricSource
ObjectMetricSource: 1 describedObject CrossVersionObjectReference!; 2 target MetricTarget!; 3 metric MetricIdentifier!
PodsMetricSource: 1 metric MetricIdentifier!; 2 target MetricTarget!
ResourceMetricSource: 1 name s!; 2 target MetricTarget!
ContainerResourceMetricSource: 1 name s!; 2 target MetricTarget!; 3 container s!
MetricIdentifier: 1 name s!; 2 selector *LabelSelector
MetricTarget: 1 type s!; 2 value *Q; 3 averageValue *Q; 4 averageUtilization *i
HorizontalPodAutoscalerBehavior: 1 scaleUp *HPAScalingRules; 2 scaleDown *HPAScalingRules
HPAScalingRules: 1 selectPolicy *s; 2 policies []HPAScalingPolicy; 3 stabilizationWindowSeconds *i; 4 tolerance *Q
HPAScalingPolicy: 1 type s!; 2 value i!; 3 periodSeconds i!
HorizontalPodAutoscalerStatus: 1 observedGeneration *l; 2 lastScaleTime *T; 3 currentReplicas i; 4 desiredReplicas i!; 5 currentMetrics []A; 6 conditions []WorkloadCondition ~type

@ io.k8s.api.networking.v1
NetworkPolicy: 1 metadata ObjectMeta; 2 spec NetworkPolicySpec
NetworkPolicySpec: 1 podSelector LabelSelector!; 2 ingress []NetworkPolicyIngressRule; 3 egress []NetworkPolicyEgressRule; 4 policyTypes []s
NetworkPolicyIngressRule: 1 ports []NetworkPolicyPort; 2 from []NetworkPolicyPeer
NetworkPolicyEgressRule: 1 ports []NetworkPolicyPort; 2 to []NetworkPolicyPeer
NetworkPolicyPort: 1 protocol *s; 2 port *IS; 3 endPort *i
NetworkPolicyPeer: 1 podSelector *LabelSelector; 2 namespaceSelector *LabelSelector; 3 ipBlock *IPBlock
IPBlock: 1 cidr s!; 2 except []s
Ingress: 1 metadata ObjectMeta; 2 spec IngressSpec; 3 status IngressStatus
IngressSpec: 1 defaultBackend *IngressBackend; 2 tls []IngressTLS; 3 rules []IngressRule; 4 ingressClassName *s
IngressBackend: 3 resource *TypedLocalObjectReference; 4 service *IngressServiceBackend
IngressServiceBackend: 1 name s!; 2 port ServiceBackendPort
ServiceBackendPort#: 1 name s; 2 number i
IngressTLS: 1 hosts []s; 2 secretName s
IngressRule: 1 host s; 2 ~ IngressRuleValue
IngressRuleValue: 1 http *HTTPIngressRuleValue
HTTPIngressRuleValue: 1 paths []HTTPIngressPath!
HTTPIngressPath: 1 path s; 2 backend IngressBackend!; 3 pathType *s!
IngressStatus: 1 loadBalancer IngressLoadBalancerStatus
IngressLoadBalancerStatus: 1 ingress []IngressLoadBalancerIngress
IngressLoadBalancerIngress: 1 ip s; 2 hostname s; 4 ports []PortStatus
IngressClass: 1 metadata ObjectMeta; 2 spec IngressClassSpec
IngressClassSpec: 1 controller s; 2 parameters *IngressClassParametersReference
IngressClassParametersReference: 1 apiGroup *s; 2 kind s!; 3 name s!; 4 scope *s; 5 namespace *s
ServiceCIDR: 1 metadata ObjectMeta; 2 spec ServiceCIDRSpec; 3 status ServiceCIDRStatus
ServiceCIDRSpec: 1 cidrs []s
ServiceCIDRStatus: 1 conditions []Condition ~type
IPAddress: 1 metadata ObjectMeta; 2 spec IPAddressSpec
IPAddressSpec: 1 parentRef *ParentReference!
ParentReference: 1 group s; 2 resource s!; 3 namespace s; 4 name s!

@ io.k8s.api.policy.v1
PodDisruptionBudget: 1 metadata ObjectMeta; 2 spec PodDisruptionBudgetSpec; 3 status PodDisruptionBudgetStatus
PodDisruptionBudgetSpec: 1 minAvailable *IS; 2 selector *LabelSelector; 3 maxUnavailable *IS; 4 unhealthyPodEvictionPolicy *s
PodDisruptionBudgetStatus: 1 observedGeneration l; 2 disruptedPods {}T; 3 disruptionsAllowed i!; 4 currentHealthy i!; 5 desiredHealthy i!; 6 expectedPods i!; 7 conditions []Condition ~type
Eviction: 1 metadata ObjectMeta; 2 deleteOptions *DeleteOptions

@ io.k8s.api.rbac.v1
Role: 1 metadata ObjectMeta; 2 rules []PolicyRule
ClusterRole: 1 metadata ObjectMeta; 2 rules []PolicyRule; 3 aggregationRule *AggregationRule
AggregationRule: 1 clusterRoleSelectors []LabelSelector
PolicyRule: 1 verbs []s!; 2 apiGroups []s; 3 resources []s; 4 resourceNames []s; 5 nonResourceURLs []s
RoleBinding: 1 metadata ObjectMeta; 2 subjects []Subject; 3 roleRef RoleRef!
ClusterRoleBinding: 1 metadata ObjectMeta; 2 subjects []Subject; 3 roleRef RoleRef!
Subject#: 1 kind s!; 2 apiGroup s; 3 name s!; 4 namespace s
RoleRef#: 1 apiGroup s!; 2 kind s!; 3 name s!

@ io.k8s.api.storage.v1
StorageClass: 1 metadata ObjectMeta; 2 provisioner s!; 3 parameters {}s; 4 reclaimPolicy *s; 5 mountOptions []s; 6 allowVolumeExpansion *b; 7 volumeBindingMode *s; 8 allowedTopologies []TopologySelectorTerm
TopologySelectorTerm#: 1 matchLabelExpressions []TopologySelectorLabelRequirement
TopologySelectorLabelRequirement: 1 key s!; 2 values []s!
CSIDriver: 1 metadata ObjectMeta; 2 spec CSIDriverSpec!
CSIDriverSpec: 1 attachRequired *b; 2 podInfoOnMount *b; 3 volumeLifecycleModes []s #set; 4 storageCapacity *b; 5 fsGroupPolicy *s; 6 tokenRequests []CSITokenRequest; 7 requiresRepublish *b; 8 seLinuxMount *b; 9 nodeAllocatableUpdatePeriodSeconds *l; 10 serviceAccountTokenInSecrets *b
CSITokenRequest: 1 audience s!; 2 expirationSeconds *l
CSINode: 1 metadata ObjectMeta; 2 spec CSINodeSpec!
CSINodeSpec: 1 drivers []CSINodeDriver! ~name
CSINodeDriver: 1 name s!; 2 nodeID s!; 3 topologyKeys []s; 4 allocatable *VolumeNodeResources
VolumeNodeResources: 1 count *i

@ io.k8s.api.scheduling.v1
PriorityClass: 1 metadata ObjectMeta; 2 value i!; 3 globalDefault b; 4 description s; 5 preemptionPolicy *s

@ io.k8s.api.coordination.v1
Lease: 1 metadata ObjectMeta; 2 spec LeaseSpec
LeaseSpec: 1 holderIdentity *s; 2 leaseDurationSeconds *i; 3 acquireTime *U; 4 renewTime *U; 5 leaseTransitions *i; 6 strategy *s; 7 preferredHolder *s

@ io.k8s.api.discovery.v1
EndpointSlice: 1 metadata ObjectMeta; 2 endpoints []SliceEndpoint!; 3 ports []SlicePort; 4 addressType s!
SliceEndpoint: 1 addresses []s! #set; 2 conditions SliceConditions; 3 hostname *s; 4 targetRef *ObjectReference; 5 deprecatedTopology {}s; 6 nodeName *s; 7 zone *s; 8 hints *SliceHints
SliceConditions: 1 ready *b; 2 serving *b; 3 terminating *b
SliceHints: 1 forZones []SliceZone; 2 forNodes []SliceZone
SliceZone: 1 name s!
SlicePort#: 1 name *s; 2 protocol *s; 3 port *i; 4 appProtocol *s

@ io.k8s.api.events.v1
GroupEvent: 1 metadata ObjectMeta; 2 eventTime U!; 3 series *EventSeries; 4 reportingController s; 5 reportingInstance s; 6 action s; 7 reason s; 8 regarding ObjectReference; 9 related *ObjectReference; 10 note s; 11 type s; 12 deprecatedSource EventSource; 13 deprecatedFirstTimestamp T; 14 deprecatedLastTimestamp T; 15 deprecatedCount i

@ io.k8s.api.admissionregistration.v1
ValidatingWebhookConfiguration: 1 metadata ObjectMeta; 2 webhooks []ValidatingWebhook ~name
ValidatingWebhook: 1 name s!; 2 clientConfig WebhookClientConfig!; 3 rules []RuleWithOperations; 4 failurePolicy *s; 5 namespaceSelector *LabelSelector; 6 sideEffects *s!; 7 timeoutSeconds *i; 8 admissionReviewVersions []s!; 9 matchPolicy *s; 10 objectSelector *LabelSelector; 11 matchConditions []MatchCondition ~name
MutatingWebhookConfiguration: 1 metadata ObjectMeta; 2 webhooks []MutatingWebhook ~name
MutatingWebhook: 1 name s!; 2 clientConfig WebhookClientConfig!; 3 rules []RuleWithOperations; 4 failurePolicy *s; 5 namespaceSelector *LabelSelector; 6 sideEffects *s!; 7 timeoutSeconds *i; 8 admissionReviewVersions []s!; 9 matchPolicy *s; 10 reinvocationPolicy *s; 11 objectSelector *LabelSelector; 12 matchConditions []MatchCondition ~name
WebhookClientConfig: 1 service *ServiceReference; 2 caBundle y; 3 url *s
ServiceReference: 1 namespace s!; 2 name s!; 3 path *s; 4 port *i
RuleWithOperations: 1 operations []s; 2 ~ Rule
Rule: 1 apiGroups []s; 2 apiVersions []s; 3 resources []s; 4 scope *s
MatchCondition: 1 name s!; 2 expression s!

@ io.k8s.api.certificates.v1
CertificateSigningRequest: 1 metadata ObjectMeta; 2 spec CertificateSigningRequestSpec!; 3 status CertificateSigningRequestStatus
CertificateSigningRequestSpec: 1 request y!; 2 username s; 3 uid s; 4 groups []s; 5 usages []s; 6 extra {}ExtraValue; 7 signerName s!; 8 expirationSeconds *i
CertificateSigningRequestStatus: 1 conditions []CertificateSigningRequestCondition =type; 2 certificate y
CertificateSigningRequestCondition: 1 type s!; 2 reason s; 3 message s; 4 lastUpdateTime T; 5 lastTransitionTime T; 6 status s!

@ io.k8s.api.node.v1
RuntimeClass: 1 metadata ObjectMeta; 2 handler s!; 3 overhead *Overhead; 4 scheduling *Scheduling
Overhead: 1 podFixed {}Q
Scheduling: 1 nodeSelector {}s#; 2 tolerations []Toleration

@ io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1
CustomResourceDefinition: 1 metadata ObjectMeta; 2 spec CustomResourceDefinitionSpec!; 3 status CustomResourceDefinitionStatus
CustomResourceDefinitionSpec: 1 group s!; 3 names CustomResourceDefinitionNames!; 4 scope s!; 7 versions []CustomResourceDefinitionVersion!; 9 conversion *CustomResourceConversion; 10 preserveUnknownFields b
CustomResourceDefinitionNames: 1 plural s!; 2 singular s; 3 shortNames []s; 4 kind s!; 5 listKind s; 6 categories []s
CustomResourceDefinitionVersion: 1 name s!; 2 served b!; 3 storage b!; 4 schema *CustomResourceValidation; 5 subresources *CustomResourceSubresources; 6 additionalPrinterColumns []CustomResourceColumnDefinition; 7 deprecated b; 8 deprecationWarning *s; 9 selectableFields []SelectableField
CustomResourceValidation: 1 openAPIV3Schema A
CustomResourceSubresources: 1 status *A; 2 scale *CustomResourceSubresourceScale
CustomResourceSubresourceScale: 1 specReplicasPath s!; 2 statusReplicasPath s!; 3 labelSelectorPath *s
CustomResourceColumnDefinition: 1 name s!; 2 type s!; 3 format s; 4 description s; 5 priority i; 6 jsonPath s!
SelectableField: 1 jsonPath s!
CustomResourceConversion: 1 strategy s!; 2 webhook *WebhookConversion
WebhookConversion: 2 clientConfig *WebhookClientConfig; 3 conversionReviewVersions []s!
CustomResourceDefinitionStatus: 1 conditions []CustomResourceDefinitionCondition =type; 2 acceptedNames CustomResourceDefinitionNames; 3 storedVersions []s
CustomResourceDefinitionCondition: 1 type s!; 2 status s!; 3 lastTransitionTime T; 4 reason s; 5 message s; 6 observedGeneration l

@ io.k8s.kube-aggregator.pkg.apis.apiregistration.v1
APIService: 1 metadata ObjectMeta; 2 spec APIServiceSpec; 3 status APIServiceStatus
APIServiceSpec: 1 service *APIServiceReference; 2 group s; 3 version s; 4 insecureSkipTLSVerify b; 5 caBundle y; 7 groupPriorityMinimum i!; 8 versionPriority i!
APIServiceReference: 1 namespace s; 2 name s; 3 port *i
APIServiceStatus: 1 conditions []APIServiceCondition ~type
APIServiceCondition: 1 type s!; 2 status s!; 3 lastTransitionTime T; 4 reason s; 5 message s
`;
