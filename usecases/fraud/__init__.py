"""Card fraud, made up by a seeded simulator: no licence-clean real card-fraud data exists."""

from usecases.fraud.use_case import use_case

__all__ = ["use_case"]
