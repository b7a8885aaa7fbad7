"""Kinds of models by name. A new kind is a new file beside these and one line here."""

from importlib import import_module

from modelway.errors import ConfigError
from modelway.training.candidates.base import Kind

KINDS = {
    "hgb": "modelway.training.candidates.hgb:Hgb",
    "mlp": "modelway.training.candidates.mlp:Mlp",
    "ft_transformer": "modelway.training.candidates.ft_transformer:FtTransformerKind",
    "logistic": "modelway.training.candidates.logistic:Logistic",
    "blend": "modelway.training.candidates.blend:Blend",
    "lightgbm": "modelway.training.candidates.lightgbm_trees:LightGbm",
    "xgboost": "modelway.training.candidates.xgboost_trees:XgBoost",
}
"""Name -> `module:class`, imported when first asked for: scikit-learn and PyTorch take seconds."""

EXTRAS = ("torch", "lightgbm", "xgboost")
"""Libraries that are installed by the extra of the same name."""


def kind_named(name: str) -> Kind:
    """The kind of that name.

    Raises:
        ConfigError: There is none, or its library is not installed or does not load.
    """
    if name not in KINDS:
        raise ConfigError(
            f"no kind of model named {name!r}",
            expected=f"one of {', '.join(KINDS)}",
            remedy="correct `candidates` in the use case",
        )
    module, _, attribute = KINDS[name].partition(":")
    try:
        kind: Kind = getattr(import_module(module), attribute)()
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        raise _not_installed(name, error.name) from error
    except OSError as error:  # what a shared library that is missing raises
        raise ConfigError(
            f"the library of {name} does not load: {error}",
            remedy="install what it names; LightGBM needs Debian's libgomp1: apt-get install libgomp1",
        ) from error
    return kind


def _not_installed(kind: str, library: str) -> ConfigError:
    return ConfigError(
        f"{kind} needs {library}, which is not installed",
        expected=f"the extra {library!r}",
        remedy=f"pip install 'modelway[{library}]'",
    )
