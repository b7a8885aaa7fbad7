"""KServe: manifests as data, their rules, and the little of the Kubernetes API that a rollout needs."""
