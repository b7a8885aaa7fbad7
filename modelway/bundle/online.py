"""What a server must know to take features from the online store; a signed file of the bundle."""

from pydantic import Field, ValidationError

from modelway.bundle.bundle import Bundle
from modelway.bundle.manifest import rejected
from modelway.contract import Frozen

ONLINE_FILE = "online.json"
"""Name inside a bundle; absent where the model is not asked by key."""


class OnlineView(Frozen):
    """One feature view as the online store keeps it."""

    name: str
    """As people know it: in messages and in the log."""
    table: str
    """As the store knows it."""
    entity: str
    """The request's key, or the column whose value names the row to read."""
    features: tuple[str, ...] = Field(min_length=1)
    """Columns of the model that come from it."""
    ttl_s: float = Field(gt=0)
    """A value older than this, seconds, is stale."""


class OnlineFeatures(Frozen):
    """Where each column of a request by key comes from."""

    subject: OnlineView | None = None
    """The subject's own row by the request's key; None where a request must bring it."""
    views: tuple[OnlineView, ...] = ()
    """Read after the subject: their entities may be columns of its row."""

    @property
    def all(self) -> tuple[OnlineView, ...]:
        """The subject's row first."""
        return self.views if self.subject is None else (self.subject, *self.views)


def entity_columns(bundle: Bundle) -> tuple[str, ...]:
    """Columns that a request may bring only to name rows of the online store, sorted.

    Raises:
        BundleRejectedError: The description of its online features cannot be read.
    """
    features = online_features(bundle) if bundle.policy.by_key else None
    if features is None:
        return ()
    named = {view.entity for view in features.all}
    return tuple(sorted(named - {bundle.signature.key, *bundle.signature.names}))


def online_features(bundle: Bundle) -> OnlineFeatures | None:
    """The bundle's description of its online features; None where it has none.

    Raises:
        BundleRejectedError: The file changed since it was signed, or says what this version does not read.
    """
    if ONLINE_FILE not in bundle.manifest.files:
        return None
    try:
        return OnlineFeatures.model_validate_json(bundle.read(ONLINE_FILE))
    except ValidationError as error:
        detail = error.errors()[0]["msg"]
        raise rejected(ONLINE_FILE, f"does not say what this version reads: {detail}") from error
