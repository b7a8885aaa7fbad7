"""Our flavors of ZenML components."""
