"""Kinds of models by name. A new kind is a new file beside these and one line here."""

from importlib import import_module

from modelway.errors import ConfigError
from modelway.training.candidates.base import Kind

KINDS = {
    "hgb": "modelway.training.candidates.hgb:Hgb",
    "mlp": "modelway.training.candidates.mlp:Mlp",
}
"""Name -> `module:class`, imported when first asked for: scikit-learn and PyTorch take seconds."""


def kind_named(name: str) -> Kind:
    """The kind of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in KINDS:
        raise ConfigError(
            f"no kind of model named {name!r}",
            expected=f"one of {', '.join(KINDS)}",
            remedy="correct `candidates` in the use case",
        )
    module, _, attribute = KINDS[name].partition(":")
    kind: Kind = getattr(import_module(module), attribute)()
    return kind
