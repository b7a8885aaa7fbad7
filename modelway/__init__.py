"""Modelway: a tabular model the whole way round."""

__version__ = "0.1.0"
