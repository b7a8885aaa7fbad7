"""`modelway optimize`: look into the graph that is served, compare ways to run it, compile it for GPUs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelway.cli import optimize_register
from modelway.cli.optimize_input import LIMIT, bundle_of, int8_hint, matrix_of
from modelway.cli.output import emit
from modelway.errors import ConfigError, ParityError
from modelway.home import Home

if TYPE_CHECKING:
    from types import ModuleType

    from modelway.bundle.engines import Precision
    from modelway.bundle.variant import EnginesFor

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Look into an exported graph, prove that it answers sanely, and compile it.",
)

_MODEL = typer.Argument(None, help="NAME, NAME@3, NAME@1.2.0, NAME@champion or NAME@challenger.")
_BUNDLE = typer.Option(None, help="This bundle folder instead of a registered model.")
_ROWS = typer.Option(
    None, help="Parquet file with the model's inputs by name; default: the bundle's drift reference."
)
_KEY = typer.Option(None, help="PEM that verifies --bundle; default: this checkout's.")
_JSON = typer.Option(False, "--json", help="Print JSON.")
_LIMIT = typer.Option(LIMIT, help="Largest allowed |probability difference| to the bundle's graph.")
_ARCH = typer.Option([], help="GPU architecture to compile for, e.g. sm89; repeat it for more.")
_PRECISION = typer.Option(["fp32"], help="fp32, fp16, bf16 or int8, of matrix products; repeat it for more.")
_OUT = typer.Option(None, help="Folder for the new bundle; default: .modelway/engines/bundles.")
_MAX_ROWS = typer.Option(1024, min=1, help="Most rows that one call to an engine may bring.")


@app.command()
def show(model: str = _MODEL, bundle: Path = _BUNDLE, verify_key: Path = _KEY, json_: bool = _JSON) -> None:
    """Show nodes, operator sets, inputs and size, and measure latency on this machine now."""
    from modelway.optimize.inspection import facts, latencies  # noqa: PLC0415 - ONNX, half a second
    from modelway.optimize.scoring import Graph  # noqa: PLC0415 - as above

    chosen = bundle_of(model, bundle, verify_key)
    content = chosen.model.read_bytes()
    found, timed = facts(content), latencies(Graph(content), matrix_of(chosen, None))
    if json_:
        emit([{"digest": chosen.digest, **found, "latency": timed}], as_json=True)
        return
    title = f"{chosen.signature.model_name} {chosen.digest[:12]}"
    emit(
        [{"fact": name, "value": _plain(value)} for name, value in found.items()], as_json=False, title=title
    )
    emit(timed, as_json=False, title="Latency here, one thread")


@app.command()
def check(
    model: str = _MODEL,
    rows: Path = _ROWS,
    bundle: Path = _BUNDLE,
    verify_key: Path = _KEY,
    json_: bool = _JSON,
) -> None:
    """Ask the graph about real rows and mutations of them. Exit code 1 when an answer is not sane."""
    from modelway.optimize.inspection import sane  # noqa: PLC0415 - ONNX, half a second

    chosen = bundle_of(model, bundle, verify_key)
    verdict = sane(chosen.model.read_bytes(), matrix_of(chosen, rows), chosen.signature)
    lines: list[Mapping[str, Any]] = [
        {"checked": r.metric, "outcome": r.outcome.value, "found": r.message, "rows": r.samples}
        for r in verdict.reasons
    ]
    emit(
        [verdict.model_dump(mode="json")] if json_ else lines,
        as_json=json_,
        title=verdict.outcome.value.upper(),
    )
    if not verdict.passed:
        raise ParityError(
            f"the graph of {chosen.digest[:12]}: {verdict.summary()}",
            expected="a probability for every row, whatever is missing or unknown in it",
            remedy="do not serve it; export the model again with modelway.optimize.export",
        )


@app.command()
def compare(
    model: str = _MODEL,
    rows: Path = _ROWS,
    arch: list[str] = _ARCH,
    precision: list[str] = _PRECISION,
    limit: float = _LIMIT,
    report: Path = typer.Option(None, help="Markdown file to write; default: in this home's reports."),
    bundle: Path = _BUNDLE,
    verify_key: Path = _KEY,
    json_: bool = _JSON,
) -> None:
    """Make every variant of the graph, hold each to parity, time it here, and say which to take."""
    from modelway.optimize import compare as comparing  # noqa: PLC0415 - ONNX, half a second

    chosen = bundle_of(model, bundle, verify_key)
    plan = comparing.Plan(limit=limit, archs=arch, precisions=_precisions(precision))
    found = comparing.compare(chosen, matrix_of(chosen, rows), plan, _engine_folder())
    page = report or Home.current().reports / "optimize" / f"{chosen.digest[:12]}.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(comparing.markdown(found))
    if json_:
        emit([{**found.as_dict(), "report": str(page)}], as_json=True)
        return
    emit([_variant_line(v) for v in found.variants], as_json=False, title=f"Variants of {chosen.digest[:12]}")
    for variant in found.variants:
        print(f"{variant.name}: {variant.note}")
    print(f"take {found.chosen}: {found.why}\nreport: {page}")
    if found.chosen == comparing.INT8:
        print(int8_hint(model, limit, {"--rows": rows, "--bundle": bundle, "--verify-key": verify_key}))


@app.command()
def int8(
    model: str = _MODEL,
    out: Path = _OUT,
    rows: Path = _ROWS,
    limit: float = _LIMIT,
    register: bool = optimize_register.REGISTER,
    bundle: Path = _BUNDLE,
    verify_key: Path = _KEY,
    json_: bool = _JSON,
) -> None:
    """Put a network's products into int8 and sign a new bundle. Exit code 1 where its answers change."""
    if register:
        from modelway.bundle.variant import Int8  # noqa: PLC0415 - --help does without

        named = optimize_register.registering(model, out=out, rows=rows, bundle=bundle, verify_key=verify_key)
        optimize_register.register(named, Int8(limit=limit), as_json=json_)
        return
    from modelway.bundle.signing import load_or_create_key  # noqa: PLC0415 - --help does without
    from modelway.optimize.repack import in_int8  # noqa: PLC0415 - ONNX, half a second

    chosen = bundle_of(model, bundle, verify_key)
    made = in_int8(chosen, matrix_of(chosen, rows), limit=limit)
    signed = made.signed(out or _engine_folder() / "bundles", load_or_create_key(Home.current().keys))
    if json_:
        found = {"bundle": str(signed.path), "digest": signed.digest, **made.verdict.model_dump(mode="json")}
        emit([found], as_json=True)
        return
    print(f"{made.verdict.summary()}\nbundle: {signed.path}")


@app.command()
def engines(
    model: str = _MODEL,
    arch: list[str] = _ARCH,
    precision: list[str] = _PRECISION,
    out: Path = _OUT,
    module: str = typer.Option("tensorrt_rtx", help="tensorrt_rtx, or tensorrt on the GPU itself."),
    max_rows: int = _MAX_ROWS,
    rows: Path = _ROWS,
    limit: float = _LIMIT,
    register: bool = optimize_register.REGISTER,
    bundle: Path = _BUNDLE,
    verify_key: Path = _KEY,
    json_: bool = _JSON,
) -> None:
    """Compile the graph for GPUs and sign a new bundle that carries the engines."""
    if register:
        named = optimize_register.registering(model, out=out, rows=rows, bundle=bundle, verify_key=verify_key)
        recipe = _engines_for(arch, precision, module, max_rows=max_rows, limit=limit)
        optimize_register.register(named, recipe, as_json=json_)
        return
    from modelway.bundle.engines import Profile  # noqa: PLC0415 - --help does without
    from modelway.bundle.signing import load_or_create_key  # noqa: PLC0415 - as above
    from modelway.optimize import engines as making  # noqa: PLC0415 - ONNX, half a second

    chosen = bundle_of(model, bundle, verify_key)
    targets = making.Targets(
        _module(module), arch or ["current"], _precisions(precision), Profile.up_to(max_rows), limit
    )
    made = making.make_engines(chosen, matrix_of(chosen, rows), targets, _engine_folder())
    key = load_or_create_key(Home.current().keys)
    signed = making.with_engines(chosen, made, out or _engine_folder() / "bundles", key)
    lines = [
        {**e.fingerprint.model_dump(mode="json"), "file": e.fingerprint.file, "note": e.note} for e in made
    ]
    if json_:
        emit([{"bundle": str(signed.path), "digest": signed.digest, "engines": lines}], as_json=True)
        return
    emit([_engine_line(e) for e in made], as_json=False, title="Engines")
    print(f"bundle: {signed.path}")


@app.command()
def triton(
    model: str = _MODEL,
    out: Path = typer.Option(..., help="Model repository; the model's folder in it is replaced."),
    backend: str = typer.Option("onnxruntime", help="onnxruntime, tensorrt or python."),
    cpu: bool = typer.Option(False, "--cpu", help="Instances on the CPU; python runs nowhere else."),
    arch: str = typer.Option(None, help="With tensorrt: which of the bundle's engines, e.g. sm90."),
    precision: str = typer.Option("fp32", help="With tensorrt: of that engine."),
    instances: int = typer.Option(1, min=1, max=64, help="Copies on each GPU, or on the CPU."),
    max_rows: int = _MAX_ROWS,
    delay_us: int = typer.Option(200, min=0, help="How long a request may wait for others, microseconds."),
    bundle: Path = _BUNDLE,
    verify_key: Path = _KEY,
) -> None:
    """Write a model repository for NVIDIA's Triton server."""
    from serving.triton.config import TritonOptions  # noqa: PLC0415 - --help does without
    from serving.triton.repository import render  # noqa: PLC0415 - as above

    options = TritonOptions(
        backend=_one_of(backend, ("onnxruntime", "tensorrt", "python"), "--backend"),
        gpu=not cpu,
        instances=instances,
        max_batch_rows=max_rows,
        max_queue_delay_us=delay_us,
        precision=_precisions([precision])[0],
    )
    print(render(bundle_of(model, bundle, verify_key), out, options, arch))


def _engines_for(
    arch: list[str], precision: list[str], module: str, *, max_rows: int, limit: float
) -> "EnginesFor":
    from modelway.bundle.engines import Profile  # noqa: PLC0415 - --help does without
    from modelway.bundle.variant import EnginesFor  # noqa: PLC0415 - as above
    from modelway.optimize.tensorrt import resolve_arch  # noqa: PLC0415 - as above

    compiler = _module(module)
    return EnginesFor(
        module=module,
        archs=tuple(resolve_arch(compiler, each) for each in arch or ["current"]),
        precisions=tuple(_precisions(precision)),
        profile=Profile.up_to(max_rows),
        limit=limit,
    )


def _engine_folder() -> Path:
    return Home.current().root / "engines"


def _precisions(given: list[str]) -> "list[Precision]":
    from typing import get_args  # noqa: PLC0415 - beside its one use

    from modelway.bundle.engines import Precision  # noqa: PLC0415 - --help does without

    return [_one_of(each, get_args(Precision), "--precision") for each in given]


def _module(given: str) -> "ModuleType":
    from modelway.optimize.tensorrt import INSTALL, load_module  # noqa: PLC0415 - --help does without

    return load_module(_one_of(given, tuple(INSTALL), "--module"))


def _one_of(given: str, known: tuple[Any, ...], option: str) -> Any:
    if given not in known:
        raise ConfigError(f"{option} {given}", expected=" or ".join(known), remedy="choose one of these")
    return given


def _variant_line(variant: Any) -> Mapping[str, Any]:
    timed = {f"{each['rows']}_rows_p50_us": each["p50_us"] for each in variant.latency}
    names = (f"{rows}_rows_p50_us" for rows in (1, 16, 256, 4096))
    return {
        "variant": variant.name,
        "parity": variant.outcome,
        **{name: timed.get(name) for name in names},
    }


def _engine_line(engine: Any) -> Mapping[str, Any]:
    said = engine.fingerprint
    return {
        "file": said.file,
        "arch": said.arch,
        "precision": said.precision,
        "module": f"{said.module} {said.version}",
        "kib": len(engine.plan) // 1024,
        "note": engine.note,
    }


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return str(value)
