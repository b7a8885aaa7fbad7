"""Names that Feast and Python take: letters, digits, underscores."""

import re

from modelway.usecase import UseCase


def project_name(use_case: UseCase) -> str:
    """Feast's name of the use case."""
    return identifier(use_case.name)


def identifier(name: str) -> str:
    """The name with everything else made an underscore."""
    return re.sub(r"\W", "_", name)
