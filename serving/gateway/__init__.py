"""The local gateway: a supervisor that owns Envoy and the predictor replicas."""
