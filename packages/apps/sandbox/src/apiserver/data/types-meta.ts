// Facts about meta/v1 and the review types (no storage behind them). Grammar: ../schema/table.ts.
export const metaTypes = `
@ io.k8s.apimachinery.pkg.apis.meta.v1
ObjectMeta: 1 name s; 2 generateName s; 3 namespace s; 4 selfLink s; 5 uid s; 6 resourceVersion s; 7 generation l; 8 creationTimestamp T; 9 deletionTimestamp *T; 10 deletionGracePeriodSeconds *l; 11 labels {}s; 12 annotations {}s; 13 ownerReferences []OwnerReference =uid %uid; 14 finalizers []s #set %; 17 managedFields []ManagedFieldsEntry
OwnerReference#: 1 kind s!; 3 name s!; 4 uid s!; 5 apiVersion s!; 6 controller *b; 7 blockOwnerDeletion *b
ManagedFieldsEntry: 1 manager s; 2 operation s; 3 apiVersion s; 4 time *T; 6 fieldsType s; 7 fieldsV1 *A; 8 subresource s
ListMeta: 1 selfLink s; 2 resourceVersion s; 3 continue s; 4 remainingItemCount *l
LabelSelector#: 1 matchLabels {}s; 2 matchExpressions []LabelSelectorRequirement
LabelSelectorRequirement: 1 key s!; 2 operator s!; 3 values []s
Condition: 1 type s!; 2 status s!; 3 observedGeneration l; 4 lastTransitionTime T!; 5 reason s!; 6 message s!
DeleteOptions: 1 gracePeriodSeconds *l; 2 preconditions *Preconditions; 3 orphanDependents *b; 4 propagationPolicy *s; 5 dryRun []s; 6 ignoreStoreReadErrorWithClusterBreakingPotential *b
Preconditions: 1 uid *s; 2 resourceVersion *s

@ io.k8s.api.authentication.v1
TokenReview: 1 metadata ObjectMeta; 2 spec TokenReviewSpec!; 3 status TokenReviewStatus
TokenReviewSpec: 1 token s; 2 audiences []s
TokenReviewStatus: 1 authenticated b; 2 user UserInfo; 3 error s; 4 audiences []s
UserInfo: 1 username s; 2 uid s; 3 groups []s; 4 extra {}ExtraValue
ExtraValue: 1 items []s
TokenRequest: 1 metadata ObjectMeta; 2 spec TokenRequestSpec!; 3 status TokenRequestStatus
TokenRequestSpec: 1 audiences []s; 3 boundObjectRef *BoundObjectReference; 4 expirationSeconds *l
BoundObjectReference: 1 kind s; 2 apiVersion s; 3 name s; 4 uid s
TokenRequestStatus: 1 token s!; 2 expirationTimestamp T!
SelfSubjectReview: 1 metadata ObjectMeta; 2 status SelfSubjectReviewStatus
SelfSubjectReviewStatus: 1 userInfo UserInfo

@ io.k8s.api.authorization.v1
SelfSubjectAccessReview: 1 metadata ObjectMeta; 2 spec SelfSubjectAccessReviewSpec!; 3 status SubjectAccessReviewStatus
SelfSubjectAccessReviewSpec: 1 resourceAttributes *ResourceAttributes; 2 nonResourceAttributes *NonResourceAttributes
SubjectAccessReview: 1 metadata ObjectMeta; 2 spec SubjectAccessReviewSpec!; 3 status SubjectAccessReviewStatus
LocalSubjectAccessReview: 1 metadata ObjectMeta; 2 spec SubjectAccessReviewSpec!; 3 status SubjectAccessReviewStatus
SubjectAccessReviewSpec: 1 resourceAttributes *ResourceAttributes; 2 nonResourceAttributes *NonResourceAttributes; 3 user s; 4 groups []s; 5 extra {}ExtraValue; 6 uid s
SubjectAccessReviewStatus: 1 allowed b!; 2 reason s; 3 evaluationError s; 4 denied b
ResourceAttributes: 1 namespace s; 2 verb s; 3 group s; 4 version s; 5 resource s; 6 subresource s; 7 name s; 8 fieldSelector *SelectorAttributes; 9 labelSelector *SelectorAttributes
SelectorAttributes: 1 rawSelector s; 2 requirements []SelectorRequirement
SelectorRequirement: 1 key s!; 2 operator s!; 3 values []s
NonResourceAttributes: 1 path s; 2 verb s
SelfSubjectRulesReview: 1 metadata ObjectMeta; 2 spec SelfSubjectRulesReviewSpec!; 3 status SubjectRulesReviewStatus
SelfSubjectRulesReviewSpec: 1 namespace s
SubjectRulesReviewStatus: 1 resourceRules []ResourceRule!; 2 nonResourceRules []NonResourceRule!; 3 incomplete b!; 4 evaluationError s
ResourceRule: 1 verbs []s!; 2 apiGroups []s; 3 resources []s; 4 resourceNames []s
NonResourceRule: 1 verbs []s!; 2 nonResourceURLs []s
`;
