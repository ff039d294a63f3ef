// The built-in resources served, one a line. Read by ../registry.ts.
//
// `group/version | plural | Kind | short names | flags | categories | subresources`. Flags: n = namespaced, g = has generation,
// v = virtual (create only, nothing stored), t = type name differs and follows in brackets.
export const builtinResources = `
v1 | namespaces | Namespace | ns | | | status finalize
v1 | nodes | Node | no | | | status proxy
v1 | pods | Pod | po | n g | all | status log exec attach portforward proxy binding eviction ephemeralcontainers resize
v1 | services | Service | svc | n | all | status proxy
v1 | configmaps | ConfigMap | cm | n | |
v1 | secrets | Secret | | n | |
v1 | serviceaccounts | ServiceAccount | sa | n | | token
v1 | endpoints | Endpoints | ep | n | |
v1 | events | Event | ev | n | |
v1 | persistentvolumes | PersistentVolume | pv | | | status
v1 | persistentvolumeclaims | PersistentVolumeClaim | pvc | n | | status
v1 | resourcequotas | ResourceQuota | quota | n | | status
v1 | limitranges | LimitRange | limits | n | |
v1 | podtemplates | PodTemplate | | n g | |
v1 | bindings | Binding | | n v | |
apps/v1 | deployments | Deployment | deploy | n g | all | status scale
apps/v1 | replicasets | ReplicaSet | rs | n g | all | status scale
apps/v1 | daemonsets | DaemonSet | ds | n g | all | status
apps/v1 | statefulsets | StatefulSet | sts | n g | all | status scale
apps/v1 | controllerrevisions | ControllerRevision | | n | |
batch/v1 | jobs | Job | | n g | all | status
batch/v1 | cronjobs | CronJob | cj | n g | all | status
autoscaling/v2 | horizontalpodautoscalers | HorizontalPodAutoscaler | hpa | n | all | status
networking.k8s.io/v1 | networkpolicies | NetworkPolicy | netpol | n g | |
networking.k8s.io/v1 | ingresses | Ingress | ing | n g | | status
networking.k8s.io/v1 | ingressclasses | IngressClass | | g | |
networking.k8s.io/v1 | servicecidrs | ServiceCIDR | | | | status
networking.k8s.io/v1 | ipaddresses | IPAddress | ip | | |
policy/v1 | poddisruptionbudgets | PodDisruptionBudget | pdb | n g | | status
rbac.authorization.k8s.io/v1 | roles | Role | | n | |
rbac.authorization.k8s.io/v1 | rolebindings | RoleBinding | | n | |
rbac.authorization.k8s.io/v1 | clusterroles | ClusterRole | | | |
rbac.authorization.k8s.io/v1 | clusterrolebindings | ClusterRoleBinding | | | |
storage.k8s.io/v1 | storageclasses | StorageClass | sc | | |
storage.k8s.io/v1 | csidrivers | CSIDriver | | | |
storage.k8s.io/v1 | csinodes | CSINode | | | |
scheduling.k8s.io/v1 | priorityclasses | PriorityClass | pc | | |
coordination.k8s.io/v1 | leases | Lease | | n | |
discovery.k8s.io/v1 | endpointslices | EndpointSlice | | n g | |
events.k8s.io/v1 | events | Event[GroupEvent] | ev | n | |
admissionregistration.k8s.io/v1 | validatingwebhookconfigurations | ValidatingWebhookConfiguration | | g | api-extensions |
admissionregistration.k8s.io/v1 | mutatingwebhookconfigurations | MutatingWebhookConfiguration | | g | api-extensions |
apiextensions.k8s.io/v1 | customresourcedefinitions | CustomResourceDefinition | crd crds | g | api-extensions | status
apiregistration.k8s.io/v1 | apiservices | APIService | | | api-extensions | status
certificates.k8s.io/v1 | certificatesigningrequests | CertificateSigningRequest | csr | | | status approval
node.k8s.io/v1 | runtimeclasses | RuntimeClass | | | |
authentication.k8s.io/v1 | tokenreviews | TokenReview | | v | |
authentication.k8s.io/v1 | selfsubjectreviews | SelfSubjectReview | | v | |
authorization.k8s.io/v1 | subjectaccessreviews | SubjectAccessReview | | v | |
authorization.k8s.io/v1 | selfsubjectaccessreviews | SelfSubjectAccessReview | | v | |
authorization.k8s.io/v1 | selfsubjectrulesreviews | SelfSubjectRulesReview | | v | |
authorization.k8s.io/v1 | localsubjectaccessreviews | LocalSubjectAccessReview | | n v | |
`;
