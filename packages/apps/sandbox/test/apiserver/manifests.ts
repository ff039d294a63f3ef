// Objects the kubectl suite applies.
export const web = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "nginx:1.27", ports: [{containerPort: 80}], env: [{name: A, value: "1"}]}
        - {name: side, image: busybox}
`;

export const service = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]
`;

export const policy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]
`;

export const pod = `apiVersion: v1
kind: Pod
metadata: {name: solo, labels: {app: solo}}
spec: {containers: [{name: main, image: busybox}]}
`;

export const crd = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd], categories: [all, gadgets]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources:
        status: {}
        scale: {specReplicasPath: .spec.count, statusReplicasPath: .status.count}
      additionalPrinterColumns:
        - {name: Size, type: string, jsonPath: .spec.size}
        - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
        - {name: Count, type: integer, jsonPath: .spec.count, priority: 1}
        - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [size]
              x-kubernetes-validations:
                - {rule: "!has(self.max) || self.count <= self.max", message: count must not exceed max}
                - {rule: "self.size == oldSelf.size", message: size is immutable}
              properties:
                size: {type: string, enum: [small, large]}
                count: {type: integer, default: 3, minimum: 0}
                max: {type: integer}
                cidrs: {type: array, maxItems: 4, items: {type: string, x-kubernetes-validations: [{rule: "isCIDR(self)", message: must be a CIDR}]}}
                ports:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [port, protocol]
                  items:
                    type: object
                    required: [port]
                    properties:
                      port: {type: integer}
                      protocol: {type: string, default: TCP}
                      note: {type: string}
                labels: {type: object, additionalProperties: {type: string}}
                free: {type: object, x-kubernetes-preserve-unknown-fields: true}
            status:
              type: object
              properties:
                count: {type: integer}
                conditions: {type: array, items: {type: object, properties: {type: {type: string}, status: {type: string}}}}
`;

export const widget = `apiVersion: example.com/v1
kind: Widget
metadata: {name: one}
spec: {size: small, ports: [{port: 80}], free: {anything: [1, {goes: true}]}}
`;
