"""ZenML steps, one file each: decorate, delegate, log, return."""

from stacks.environment import activate_home

activate_home()  # before anything imports ZenML, which reads the environment at import
