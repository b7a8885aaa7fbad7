"""How revisions come into an InferenceService: uploaded first, then asked for, one patch at a time."""

from modelway.bundle.bundle import Bundle
from modelway.errors import ConfigError
from serving.kserve.access import Access
from serving.kserve.admission import require_new, require_room, require_same
from serving.kserve.changes import (
    next_name,
    require_whole,
    rolled_back,
    with_canary,
    without_standby,
)
from serving.kserve.client import Kind
from serving.kserve.manifests import stable_manifest
from serving.kserve.places import Places
from serving.kserve.spec import FULL, Arm, Manifest, Service
from serving.kserve.storage import storage_uri, upload
from serving.kserve.view import ServiceView, view_of
from serving.rollout.target import Revision


class Arrivals:
    """Canaries, the first revision of a service, and a former one that is kept loaded."""

    def __init__(self, access: Access, service: Service, places: Places) -> None:
        """Name the service; asks nothing yet."""
        self._access, self._service, self._places = access, service, places

    def deploy(self, revision: Revision, replicas: int) -> None:
        """One step towards a canary, or a first revision, of that many pods; ask until it is there."""
        manifest = self._access.manifest()
        if manifest is None:
            self._create(revision, replicas)
            return
        view = view_of(manifest)
        arm = view.arm(revision.id)
        if arm is not None:
            require_same(arm, revision.digest)
        elif view.canary is not None and view.weight == FULL:
            self._access.promote(view.canary.revision)  # its rollout ended before it could; then ask again
        else:
            self._add(manifest, view, revision, replicas)

    def keep(self, revision: Revision | None) -> None:
        """Bring a former revision in without traffic, or let go of the one that is kept."""
        manifest = self._access.manifest()
        view = view_of(manifest) if manifest else None
        if manifest is None or view is None or (view.canary is not None and view.standby is None):
            return
        if view.standby is not None and (revision is None or view.standby.revision != revision.id):
            manifest = self._access.patch(manifest, rolled_back(manifest))
        if revision is None or revision.digest in {arm.digest for arm in view_of(manifest).arms}:
            return
        self._upload(revision)
        arm = self.arm(revision, view.capacity, next_name(manifest, standby=True))
        self._access.patch(manifest, with_canary(manifest, self._service, arm))

    def _add(self, manifest: Manifest, view: ServiceView, revision: Revision, replicas: int) -> None:
        """Bring it in; a former revision in its place makes room once nothing speaks against the new one."""
        require_room(view)
        require_new(view, revision.id, revision.digest)
        self._upload(revision)
        cleared = without_standby(manifest)
        arm = self.arm(revision, replicas, next_name(cleared))
        spec = with_canary(cleared, self._service, arm)
        if view.standby is None:
            self._access.patch(manifest, spec)
            return
        self._access.patch(manifest, spec, dry_run=True)
        self._access.patch(manifest, rolled_back(manifest))  # then ask again

    def _create(self, revision: Revision, replicas: int) -> None:
        manifest = stable_manifest(self._service, self.arm(revision, replicas, None))
        require_whole(manifest)
        self._upload(revision)
        self._access.cluster.create(Kind.INFERENCE_SERVICE, manifest)

    def arm(self, revision: Revision, replicas: int, name: str | None) -> Arm:
        """A revision as a predictor; nothing is asked or uploaded."""
        uri = storage_uri(self._places.storage, self._service.name, revision.digest)
        return Arm(
            storage_uri=uri, replicas=replicas, name=name, revision=revision.id, digest=revision.digest
        )

    def _upload(self, revision: Revision) -> None:
        bundle = Bundle.open(revision.bundle, verify_key=revision.verify_key)
        if (bundle.digest, bundle.signature.model_name) != (revision.digest, self._service.name):
            raise ConfigError(
                f"{revision.bundle} holds {bundle.signature.model_name} {bundle.digest[:12]}",
                expected=f"{self._service.name} {revision.digest[:12]}",
                remedy="name the bundle's own service and digest",
            )
        upload(bundle, self._places.storage)
