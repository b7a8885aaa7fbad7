"""What a bundle says of itself when it is another bundle in another form: of which one, and how it was made.

variant.json    origin, recipe, libraries, how closely it answers; nothing that differs when it is made again
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, ValidationError

from modelway.bundle.bundle import Bundle
from modelway.bundle.engines import Module, Precision, Profile
from modelway.bundle.manifest import rejected
from modelway.contract import Frozen

VARIANT_FILE = "variant.json"


class Int8(Frozen):
    """A network's matrix products in int8."""

    how: Literal["int8"] = "int8"
    limit: float = Field(gt=0)
    """Largest allowed |probability difference| to the origin's graph."""

    @property
    def words(self) -> str:
        """For people."""
        return "int8"


class EnginesFor(Frozen):
    """The origin's graph, and engines compiled from it; trees in tensor form."""

    how: Literal["engines"] = "engines"
    module: Module
    archs: tuple[str, ...] = Field(min_length=1)
    """GPU architectures as `resolve_arch` returns them, e.g. sm89."""
    precisions: tuple[Precision, ...] = Field(min_length=1)
    profile: Profile
    limit: float = Field(gt=0)
    """Largest allowed |probability difference| of what is compiled to the origin's graph."""

    @property
    def words(self) -> str:
        """For people."""
        return f"engines for {', '.join(self.archs)} in {', '.join(self.precisions)}"


Recipe = Annotated[Int8 | EnginesFor, Field(discriminator="how")]


class Variant(Frozen):
    """The content of variant.json."""

    format: Literal["modelway-variant/1"] = "modelway-variant/1"
    origin_version: int = Field(ge=1)
    """Number of the registered version that it was made from …"""
    origin_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """… and its bundle."""
    recipe: Recipe
    libraries: Mapping[str, str]
    """Versions of what made it, by distribution name."""
    held: Mapping[str, FiniteFloat]
    """How closely it answers, by check."""

    @property
    def words(self) -> str:
        """`int8 of version 3`."""
        return f"{self.recipe.words} of version {self.origin_version}"


def variant_of(bundle: Bundle) -> Variant | None:
    """What a bundle was made from; None for one that a training packed.

    Raises:
        BundleRejectedError: variant.json does not say what this version reads.
    """
    if VARIANT_FILE not in bundle.manifest.files:
        return None
    try:
        return Variant.model_validate_json(bundle.read(VARIANT_FILE))
    except ValidationError as error:
        raise rejected(
            VARIANT_FILE, f"does not say what this version reads: {error.errors()[0]['msg']}"
        ) from error
