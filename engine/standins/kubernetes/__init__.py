"""A stand-in for `pulumi-resource-kubernetes`: real objects in a real cluster, by server-side apply.

- `servicer`: the calls of the engine; `settings`: the provider's configuration.
- `cluster`: the Kubernetes API; `waiting`: until an object is ready; `readiness`: when it is; `pods`: why
  not.
- `values`, `objects`, `diff`, `replacing`, `ignoring`: pure work on inputs and objects.
- `rendering`: `renderYamlToDirectory`; `functions`: YAML files, Helm charts and Kustomize folders.

docs/stand-ins.md says what it lacks.
"""
