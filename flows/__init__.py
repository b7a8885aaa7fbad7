"""Prefect flows: what people deploy, schedule and watch. Each body is the list of its ZenML steps."""

from stacks.environment import activate_home

activate_home()  # before anything imports Prefect or ZenML, which read the environment at import
