"""A fire drill: a revision made bad on purpose meets real requests, and the rollout has to get rid of it.

Afterwards the live revision serves alone, as before: no other revision, no registered version, no record.
"""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.options import LoadOptions
from loadtests.run import start_load
from loadtests.traffic import LONGEST_S
from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.signature import Input
from modelway.bundle.signing import load_or_create_key, load_verify_key
from modelway.contract import Frozen
from modelway.errors import ConfigError, RolloutError
from serving.rollout.local import LocalTarget
from serving.rollout.plan import Plan
from serving.rollout.runner import run_rollout
from serving.rollout.state import Phase, RolloutState
from serving.rollout.strategies import FULL
from serving.rollout.target import Revision
from stacks.drilled import FOLDERS, SUFFIX, clear, undo_killed
from stacks.faults import Fault, break_graph
from stacks.guards import alone, require_idle

WEIGHTS = (10, FULL)
_LOOK_EVERY_S = 0.25


class Drill(Frozen):
    """What came of one drill."""

    fault: Fault
    live: str
    """The revision that serves, before and after."""
    phase: Phase
    sequence: tuple[str, ...]
    """Phases and stops, in order."""
    cause: str
    seconds_to_restore: float | None
    """From the look before the first bad answer to restored traffic; None where none was given."""


def drill(
    target: LocalTarget,
    fault: Fault,
    *,
    keys: Path,
    rate_rps: float = 100.0,
    on_change: Callable[[RolloutState], None] | None = None,
) -> Drill:
    """Roll a bad twin of the live revision out under load, and see it rolled back.

    Args:
        target: A gateway that serves a revision alone.
        fault: What is wrong with the twin.
        keys: Folder of the signing key: the twin is signed like any bundle.
        rate_rps: Offered load, requests per second: rows of the live bundle's reference.
        on_change: Told of every look.

    Raises:
        NotRunningError: No gateway runs.
        TransitionError: A rollout is under way.
        ConfigError: The live bundle keeps no reference rows to send.
        RolloutError: The bad revision was promoted. The live one has its traffic back all the same.
    """
    undo_killed(target)
    live = target.live()
    bundle = Bundle.open(live.bundle, verify_key=load_verify_key(live.verify_key))
    model = bundle.signature.model_name
    with alone(target, model, "`modelway rollout drill`"):
        require_idle(target, model)
        return _report(fault, live, _practised(target, bundle, live, fault, keys, rate_rps, on_change))


def _practised(  # noqa: PLR0913, PLR0917 - the drill's own arguments, and what it found
    target: LocalTarget,
    bundle: Bundle,
    live: Revision,
    fault: Fault,
    keys: Path,
    rate_rps: float,
    on_change: Callable[[RolloutState], None] | None,
) -> RolloutState:
    folder = Path(tempfile.mkdtemp(prefix=FOLDERS, dir=target.root))
    try:
        rows = _rows(bundle, folder / "rows.parquet")
        plan = _plan(bundle, live, _twin(bundle, live, fault, folder, keys))
        with _load(target, bundle, rows, folder / "load", rate_rps):
            return _carried_out(target, plan, on_change)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _twin(bundle: Bundle, live: Revision, fault: Fault, folder: Path, keys: Path) -> Revision:
    limit_ms = bundle.slo.latency_limit_ms
    graph = break_graph(fault, bundle.model, folder / "broken.onnx", limit_ms=limit_ms)
    twin = write_bundle(
        folder / "bundles",
        onnx=graph,
        signature=bundle.signature,
        reference=bundle.reference,
        slo=bundle.slo,
        card=bundle.card.read_text("utf-8"),
        lineage=bundle.lineage,
        key=load_or_create_key(keys),
    )
    name = f"drill-{fault.value}-{uuid.uuid4().hex[:8]}"
    return Revision(id=name, bundle=twin.path, digest=twin.digest, verify_key=live.verify_key)


def _plan(bundle: Bundle, live: Revision, twin: Revision) -> Plan:
    return Plan(
        id=twin.id,
        service=f"{bundle.signature.model_name}{SUFFIX}",
        stable=live,
        canary=twin,
        slo=bundle.slo,
        weights=WEIGHTS,
        look_every_s=_LOOK_EVERY_S,
    )


def _carried_out(
    target: LocalTarget, plan: Plan, on_change: Callable[[RolloutState], None] | None
) -> RolloutState:
    """Run it; whatever happens, the twin goes and the live revision has all traffic again."""
    try:
        return run_rollout(target, plan, root=target.root, on_change=on_change)
    finally:
        clear(target, plan)


@contextmanager
def _load(target: LocalTarget, bundle: Bundle, rows: Path, out: Path, rate_rps: float) -> Iterator[None]:
    options = LoadOptions(
        url=target.gateway_url,
        model=bundle.signature.model_name,
        rows=rows,
        out=out,
        slo=bundle.slo,
        rate_rps=rate_rps,
        duration_s=LONGEST_S,
        purpose="drill",
    )
    with start_load(options):
        yield


def _rows(bundle: Bundle, path: Path) -> Path:
    """The reference rows as a client would send them: categories by name."""
    import pyarrow as pa  # noqa: PLC0415 - only a drill needs it here
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    if not bundle.reference.stat().st_size or not (table := pq.ParquetFile(bundle.reference).read()).num_rows:
        raise ConfigError(
            f"bundle {bundle.digest[:12]} keeps no reference rows",
            expected="rows to send",
            remedy="serve a bundle that training made",
        )
    columns = {column.name: _decoded(column, table[column.name]) for column in bundle.signature.inputs}
    pq.write_table(pa.table(columns), path)
    return path


def _decoded(column: Input, values: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - as above

    numbers = np.asarray(values.to_numpy(), dtype=np.float64)
    known = np.isfinite(numbers)
    if column.kind != "category":
        return pa.array([value if there else None for value, there in zip(numbers, known, strict=True)])
    words = column.vocabulary
    return pa.array(
        [words[int(code)] if there else None for code, there in zip(numbers, known, strict=True)], pa.string()
    )


def _report(fault: Fault, live: Revision, state: RolloutState) -> Drill:
    if state.phase is not Phase.ROLLED_BACK:
        raise RolloutError(
            f"a revision with the fault {fault.value!r} ended as {state.phase.value}: {state.cause}",
            expected="a rollback",
            remedy="more load gives the judge more to see; otherwise report it",
        )
    return Drill(
        fault=fault,
        live=live.id,
        phase=state.phase,
        sequence=tuple(f"{each.phase.value} {each.step}".rstrip() for each in state.timeline),
        cause=state.cause,
        seconds_to_restore=state.seconds_to_restore,
    )
