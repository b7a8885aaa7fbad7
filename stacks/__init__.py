"""Stacks: what `zenml stack set` switches. Files, the flavors they name, and who applies them."""
