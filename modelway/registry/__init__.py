"""Which model version stands where, who decided it and why: stages, aliases, approval, audit, model card."""
