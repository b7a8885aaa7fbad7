"""Where finished trials stand: in this process alone, or in a study that several processes share.

A shared study is a folder in the home: Optuna's journal for each candidate, the margins and graphs of its
trials by content, and a lock file for each trial. The locks are the kernel's: they end with the process that
holds them, however it ends, so that nobody has to guess from a heartbeat whether it still lives.
"""

import fcntl
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from modelway.data.storage import Folder, sha256_of, storage_errors
from modelway.errors import ConfigError, SnapshotCorruptError
from modelway.training.artifacts import Trial
from modelway.training.choice import Tried

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SLOT = "modelway.slot"
"""Which of the asked-for trials one is: Optuna's own numbers follow the order in which they finish."""


@dataclass(frozen=True)
class Entry:
    """One finished trial, for Optuna and for the choice."""

    frozen: Any
    """optuna.trial.FrozenTrial"""
    tried: Tried


class Book(Protocol):
    """The trials of one candidate, by slot."""

    def entries(self) -> Mapping[int, Entry]:
        """Those that are finished, by whomever."""
        ...

    def claim(self, slot: int) -> "AbstractContextManager[Claim | None]":
        """The right to work on a slot for the length of the block; None: somebody else has it."""
        ...

    def enter(self, slot: int, entry: Entry) -> None:
        """Write a finished trial down, whole or not at all."""
        ...


class Claim:
    """A slot that is ours, and what the one before us left there."""

    def __init__(self, file: IO[str] | None = None) -> None:
        """A slot that is ours; `file` is where other processes see whose run works on it."""
        self._file = file

    def abandoned_run(self) -> str | None:
        """The MLflow run of a process that died on this slot."""
        if self._file is None:
            return None
        self._file.seek(0)
        return self._file.read() or None

    def begun(self, run_id: str) -> None:
        """Remember our run, for whoever comes after us if we die."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(run_id)
            self._file.flush()


class PrivateBook:
    """In memory, for a search of one process."""

    def __init__(self) -> None:
        """Begin with no entry."""
        self._entries: dict[int, Entry] = {}

    def entries(self) -> Mapping[int, Entry]:
        """All so far."""
        return self._entries

    def claim(self, _slot: int) -> "AbstractContextManager[Claim | None]":
        """Always ours."""
        return nullcontext(Claim())

    def enter(self, slot: int, entry: Entry) -> None:
        """Keep it."""
        self._entries[slot] = entry


class SharedStudy:
    """A named folder that processes with the very same question join."""

    def __init__(self, folder: Path, identity: str) -> None:
        """Name an open study; `join` opens one.

        Args:
            folder: Its own.
            identity: What is searched, on which rows: others with another one may not join.
        """
        self.folder, self._identity = folder, identity

    @classmethod
    def join(cls, studies: Path, name: str, identity: str) -> "SharedStudy":
        """Open the study of that name, or begin it.

        Args:
            studies: Folder of all studies.
            name: Letters, digits, `.`, `_`, `-`.
            identity: Hash of all that decides the trials: rows, candidates, seed, policy, libraries.

        Raises:
            ConfigError: The name cannot be a folder's, or the study was begun for another question.
            StorageError: The folder cannot be written.
        """
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"a study cannot be named {name!r}",
                expected="letters, digits, `.`, `_` and `-`, at most 100",
                remedy="choose another --study",
            )
        study = cls(studies / name, identity)
        with storage_errors(str(study.folder)):
            study.folder.mkdir(parents=True, exist_ok=True)
        study._check()
        return study

    def _check(self) -> None:
        with self._facts() as facts:
            begun = facts.setdefault("identity", self._identity)
        if begun != self._identity:
            raise ConfigError(
                f"study {self.folder.name} was begun with other rows, candidates, trials, seed or libraries",
                expected="the same question: its finished trials would answer another one",
                remedy="choose another --study, or delete the folder " + str(self.folder),
            )

    def parent_run(self, begin: Callable[[], str]) -> str:
        """The MLflow run that all processes' trials nest below; the first to ask begins it."""
        with self._facts() as facts:
            if "parent_run" not in facts:
                facts["parent_run"] = begin()
            return str(facts["parent_run"])

    def book(self, label: str) -> "SharedBook":
        """The trials of one candidate; `label` tells it from the others."""
        return SharedBook(self.folder, label)

    @contextmanager
    def _facts(self) -> Iterator[dict[str, Any]]:
        """What the study is, read and written by one process at a time."""
        with kernel_lock(self.folder / "study.lock"):
            path = self.folder / "study.json"
            before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
            facts = dict(before)
            yield facts
            if facts != before:
                Folder(str(self.folder)).write(path.name, json.dumps(facts, indent=1).encode())


class SharedBook:
    """One candidate's trials in Optuna's journal."""

    def __init__(self, folder: Path, label: str) -> None:
        """Open the journal of one search, or begin it.

        Args:
            folder: Of the study.
            label: Of the search within it.
        """
        self._folder, self._label, self._files = folder, label, Folder(str(folder / "files"))
        journal = folder / f"{label}.journal"
        backend = JournalFileBackend(str(journal), lock_obj=_JournalLock(journal))
        self._study = optuna.create_study(
            storage=JournalStorage(backend), study_name=label, direction="maximize", load_if_exists=True
        )
        self._read: dict[int, Entry] = {}

    def entries(self) -> Mapping[int, Entry]:
        """All so far; a slot that was finished twice counts once.

        Raises:
            SnapshotCorruptError: A trial's file is gone or altered.
        """
        for frozen in self._study.get_trials(deepcopy=False):
            slot = frozen.user_attrs[SLOT]
            if slot not in self._read:
                self._read[slot] = Entry(frozen, self._tried(frozen.user_attrs))
        return self._read

    @contextmanager
    def claim(self, slot: int) -> Iterator[Claim | None]:
        """Ours as long as this process lives and stays in the block."""
        with kernel_lock(self._folder / f"{self._label}-{slot}.lock", wait=False) as file:
            yield None if file is None else Claim(file)

    def enter(self, slot: int, entry: Entry) -> None:
        """Files first, then one line of the journal, which is what makes the trial finished."""
        stored = io.BytesIO()
        np.save(stored, entry.tried.margins)
        attributes = {
            SLOT: slot,
            "modelway.trial": entry.tried.trial.model_dump(mode="json"),
            "modelway.margins": self._files.put("", ".npy", stored.getvalue()),
            "modelway.graph": self._files.put("", ".onnx", entry.tried.graph),
        }
        frozen = entry.frozen
        self._study.add_trial(
            optuna.trial.create_trial(
                state=frozen.state,
                value=frozen.value,
                params=frozen.params,
                distributions=frozen.distributions,
                user_attrs=attributes,
                system_attrs=frozen.system_attrs,
                intermediate_values=frozen.intermediate_values,
            )
        )

    def _tried(self, attributes: Mapping[str, Any]) -> Tried:
        margins = np.load(io.BytesIO(self._file(attributes["modelway.margins"], ".npy")))
        graph = self._file(attributes["modelway.graph"], ".onnx")
        return Tried(Trial.model_validate(attributes["modelway.trial"]), margins, graph)

    def _file(self, digest: str, suffix: str) -> bytes:
        content = self._files.read(f"{digest}{suffix}")
        if sha256_of(content) != digest:
            raise SnapshotCorruptError(
                f"{self._files.path(digest + suffix)} was altered",
                expected="the bytes that its name is the hash of",
                remedy=f"delete {self._folder} and search again",
            )
        return content


@contextmanager
def kernel_lock(path: Path, *, wait: bool = True) -> Iterator[IO[str] | None]:
    """Hold an exclusive lock for the length of the block; it ends with the process at the latest.

    Args:
        path: The lock file, made where there is none and never removed: removing it would let two in.
        wait: Until it is free. Otherwise None is given where somebody holds it.
    """
    with storage_errors(str(path)):
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except BlockingIOError:
            held = False
        yield file if held else None


class _JournalLock:
    """Optuna's own locks outlive a killed process by half a minute, and its half-written line for ever."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._held: AbstractContextManager[Any] | None = None

    def acquire(self) -> bool:
        """Wait for the lock, then cut off what a killed writer left of a line."""
        self._held = kernel_lock(self._journal.with_suffix(".journal-lock"))
        self._held.__enter__()
        content = self._journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self._journal.open("r+b") as file:
                file.truncate(whole)
        return True

    def release(self) -> None:
        """Let the next one write."""
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None
