"""Stacks: what `zenml stack set` switches. Files, the flavors they name, and who applies them."""

from stacks.environment import activate_home

activate_home()  # before anything imports ZenML, which reads the environment at import
