"""What answers requests, shares out traffic and judges a rollout. No training stack."""
