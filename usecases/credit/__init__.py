"""The default use case: real SBA 7(a) loans, dirty, drifting, with labels that arrive years late."""

from usecases.credit.use_case import use_case

__all__ = ["use_case"]
