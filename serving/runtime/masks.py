"""Columns that the prediction log does not keep as they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from modelway.bundle.bundle import Bundle
from modelway.bundle.masking import REQUEST_ID, SALT_VARIABLE, hashed, log_salt
from modelway.bundle.online import entity_columns
from modelway.errors import ConfigError

if TYPE_CHECKING:
    from serving.runtime.parsed import Matrix
    from serving.runtime.prediction_table import Arrays

HASHED = "_hashed_"
"""Begins the name of a hashed input: a text beside float columns is not to be taken for one of them."""


class Masks:
    """What one bundle's log drops and hashes; without a policy everything passes."""

    def __init__(self, bundle: Bundle) -> None:
        """Look the salt up.

        Raises:
            ConfigError: A column is none of the log's, or hashes are asked for without a salt.
        """
        self._rules, names = bundle.policy.masked, bundle.signature.names
        self._key = bundle.signature.key if self._rules else ""
        self._salt = log_salt() if self._rules else None
        ids = entity_columns(bundle) if self._rules else ()
        unknown = sorted(set(self._rules) - {*names, *ids, self._key, REQUEST_ID})
        if unknown:
            raise ConfigError(
                f"the policy masks {', '.join(unknown)}, which the prediction log does not have",
                expected=f"inputs of the model, its key {self._key!r}, ids of online rows, or {REQUEST_ID!r}",
                remedy="correct `masked` in the use case's serving policy",
            )
        if self._salt is None and "hash" in self._rules.values():
            raise ConfigError(
                f"the policy hashes columns of the prediction log, and {SALT_VARIABLE} is not set",
                expected="the deployment's secret in the environment",
                remedy="`openssl rand -hex 32` makes one; give it to servers and monitoring alike",
            )

    def entities(self, ids: Sequence[str | None]) -> Sequence[str | None]:
        """The subjects of rows."""
        return self.ids(self._key, ids)

    def ids(self, name: str, ids: Sequence[str | None]) -> Sequence[str | None]:
        """Ids of one column."""
        return self._texts(self._rules.get(name), ids)

    def request_ids(self, ids: Sequence[str | None]) -> Sequence[str | None]:
        """The clients' own ids of rows."""
        return self._texts(self._rules.get(REQUEST_ID), ids)

    def inputs(self, arrays: "Arrays", names: Sequence[str], features: "Matrix") -> Mapping[str, Any]:
        """Arrow arrays of the model's inputs by name.

        Args:
            arrays: Make them.
            names: Of all inputs.
            features: Of shape (rows, F), columns contiguous.
        """
        return dict(self._inputs(arrays, names, features))

    def _inputs(
        self, arrays: "Arrays", names: Sequence[str], features: "Matrix"
    ) -> Iterator[tuple[str, Any]]:
        kind = arrays.pa.float32()
        for at, name in enumerate(names):
            rule = self._rules.get(name)
            if rule is None:
                yield name, arrays.of(kind, features[:, at])
            elif rule == "hash":
                yield HASHED + name, arrays.strings(self._numbers(features[:, at]))

    def _texts(
        self, rule: Literal["drop", "hash"] | None, values: Sequence[str | None]
    ) -> Sequence[str | None]:
        if rule is None:
            return values
        if rule == "drop" or self._salt is None:
            return [None] * len(values)
        return [None if value is None else hashed(value, self._salt) for value in values]

    def _numbers(self, values: "Matrix") -> Sequence[str | None]:
        """Of float32 values as they lie in memory; a missing one stays missing."""
        known = ~np.isnan(values)
        texts = [value.tobytes().hex() if there else None for value, there in zip(values, known, strict=True)]
        return self._texts("hash", texts)
