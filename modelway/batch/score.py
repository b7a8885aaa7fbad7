"""Score a folder of Parquet files by streaming them through ONNX Runtime, exactly once.

Each input becomes one output, named by the content of the input and the digest of the model, and
renamed into place when whole. A run that is killed and started again does what is left; the manifest
comes last and names every output that belongs to the folder as it is.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from modelway.batch.encode import matrix
from modelway.batch.graph import Score, load_graph
from modelway.batch.outputs import (
    exclusive,
    is_done,
    listed_hashes,
    output_name,
    require_apart,
    sha256_of,
    storage_errors,
    write_manifest,
    write_whole,
)
from modelway.batch.sources import NAME_DIGITS, Source, find_sources
from modelway.bundle.bundle import Bundle
from modelway.bundle.signature import GRAPH_OUTPUT, Signature
from modelway.contract import Frozen
from modelway.errors import SourceError


class BatchReport(Frozen):
    """What one run did."""

    files: int
    """Input files of the folder."""
    skipped_files: int
    """Those of them that an earlier run had finished."""
    rows: int
    """Rows of all outputs, of this run and of earlier ones."""
    scored_rows: int
    """Rows this run scored."""
    seconds: float
    rows_per_s: float
    """Scored rows per second of this run; 0 when nothing was left to do."""
    manifest: Path
    """JSON: the model, and each input's content, output and rows."""


def score_folder(
    bundle: Bundle,
    source: Path,
    target: Path,
    *,
    batch_rows: int = 65_536,
    on_rows: Callable[[int], None] | None = None,
) -> BatchReport:
    """Score every Parquet file below `source` into `target`; what is done is not done again.

    Outputs hold the key as it came, `probability` (float32) and `decision` (1 from the threshold on,
    null where the model gave no number), in the input's row order.

    Args:
        bundle: The model; its graph is verified once more as it is read.
        source: Folder of Parquet files with the key and one column per input of the model.
        target: Folder of the outputs, apart from `source`; one run at a time.
        batch_rows: Rows that are in memory at once.
        on_rows: Called with the number of rows after each batch, e.g. by a progress bar.

    Raises:
        SourceError: The source is missing, empty, unreadable, or was changed meanwhile.
        ContractError: A file's columns do not fit the model; nothing was scored.
        ConfigError: `target` and `source` overlap.
        BundleRejectedError: The graph is altered or does not load.
        StorageError: The disk is full, or another run holds `target`.
    """
    started = time.perf_counter()
    source, target = Path(source), Path(target)
    require_apart(source, target)
    sources = find_sources(source, bundle.signature)
    manifest = target / f"manifest-{bundle.digest[:NAME_DIGITS]}.json"
    score = load_graph(bundle)
    with exclusive(target):
        run = _Run(bundle, score, target, listed_hashes(manifest), batch_rows, on_rows or _ignore)
        outputs = [run.output_of(each) for each in sources]
        write_manifest(manifest, {"model": _model(bundle), "files": [o.entry() for o in outputs]})
    return _report(outputs, manifest, time.perf_counter() - started)


def _ignore(_rows: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class _Output:
    """One input's share of the manifest."""

    source: Source
    source_sha256: str
    path: Path
    name: str
    skipped: bool

    def entry(self) -> dict[str, Any]:
        """What the manifest says of this output.

        Raises:
            StorageError: The output cannot be read.
        """
        with storage_errors(self.path):
            output_sha256 = sha256_of(self.path)
        return {
            "input": self.source.name,
            "input_sha256": self.source_sha256,
            "output": self.name,
            "output_sha256": output_sha256,
            "rows": self.source.rows,
        }


@dataclass(frozen=True, slots=True)
class _Run:
    """What all files of one run have in common."""

    bundle: Bundle
    score: Score
    target: Path
    listed: Mapping[str, str]
    """Hash of each output that an earlier manifest names."""
    batch_rows: int
    on_rows: Callable[[int], None]

    def output_of(self, source: Source) -> _Output:
        """Score one file unless its output is there."""
        sha256 = source.sha256()
        name = output_name(source.name, sha256, self.bundle.digest)
        path = self.target / name
        skipped = is_done(path, source.rows, self.listed.get(name))
        if skipped:
            self.on_rows(source.rows)
        else:
            schema = _schema(source, self.bundle.signature)
            write_whole(path, schema, self._scored(source, schema))
        return _Output(source, sha256, path, name, skipped)

    def _scored(self, source: Source, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Stream the file. It must be the same file at the end, or the output is not kept."""
        signature = self.bundle.signature
        for batch in _batches(source, signature, self.batch_rows):
            yield _answer(batch, self.score(matrix(batch, signature)), signature, schema)
            self.on_rows(batch.num_rows)
        source.require_unchanged()


def _model(bundle: Bundle) -> dict[str, Any]:
    signature = bundle.signature
    return {
        "digest": bundle.digest,
        "name": signature.model_name,
        "key": signature.key,
        "threshold": signature.threshold,
    }


def _report(outputs: Sequence[_Output], manifest: Path, seconds: float) -> BatchReport:
    scored = sum(output.source.rows for output in outputs if not output.skipped)
    return BatchReport(
        files=len(outputs),
        skipped_files=sum(output.skipped for output in outputs),
        rows=sum(output.source.rows for output in outputs),
        scored_rows=scored,
        seconds=seconds,
        rows_per_s=scored / seconds,
        manifest=manifest,
    )


def _schema(source: Source, signature: Signature) -> pa.Schema:
    key = pq.read_schema(source.path).field(signature.key)
    return pa.schema(
        [(key.name, key.type), (GRAPH_OUTPUT, pa.float32()), ("decision", pa.int8())],
    )


def _batches(source: Source, signature: Signature, batch_rows: int) -> Iterator[pa.RecordBatch]:
    columns = list(dict.fromkeys([signature.key, *signature.names]))
    try:
        with pq.ParquetFile(source.path) as file:
            yield from file.iter_batches(batch_rows, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{source.name} cannot be read to its end: {error}",
            expected="a whole Parquet file",
            remedy="write it again, then run again: what is done is not done twice",
        ) from error


def _answer(
    batch: pa.RecordBatch, probability: npt.NDArray[np.float32], signature: Signature, schema: pa.Schema
) -> pa.RecordBatch:
    """Key, probability, decision; compared in the precision the graph answers in, as serving does."""
    decision = (probability >= np.float32(signature.threshold)).astype(np.int8)
    columns = [
        batch.column(signature.key),
        pa.array(probability),
        pa.array(decision, mask=np.isnan(probability)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
