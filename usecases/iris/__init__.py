"""The smallest complete use case: which irises are virginica?"""

from usecases.iris.use_case import use_case

__all__ = ["use_case"]
