"""Remember earlier looks, so that debouncing outlives the process."""

from pathlib import Path

from pydantic import ValidationError

from modelway.errors import StorageError
from modelway.monitoring.triggers import Cycle


class CycleLog:
    """One line of JSON per look, only ever appended to."""

    def __init__(self, path: Path) -> None:
        """Nothing is created until the first `append`."""
        self._path = path

    def read(self) -> tuple[Cycle, ...]:
        """Every look, oldest first; none when nobody looked yet.

        Raises:
            StorageError: A line is no cycle. One that was cut off while written counts as not there.
        """
        if not self._path.exists():
            return ()
        whole, _, _cut_off = self._path.read_text("utf-8").rpartition("\n")
        return tuple(self._parse(line) for line in whole.splitlines())

    def append(self, cycle: Cycle) -> None:
        """Add one look.

        Raises:
            StorageError: The file cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._drop_cut_off_line()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(cycle.model_dump_json() + "\n")
        except OSError as error:
            raise StorageError(
                f"cannot write {self._path}: {error.strerror}",
                expected="room and permission to add a line",
                remedy="free space or check the folder's permissions",
            ) from error

    def _drop_cut_off_line(self) -> None:
        if self._path.exists() and not (content := self._path.read_bytes()).endswith(b"\n"):
            self._path.write_bytes(content[: content.rfind(b"\n") + 1])

    def _parse(self, line: str) -> Cycle:
        try:
            return Cycle.model_validate_json(line)
        except ValidationError as error:
            raise StorageError(
                f"{self._path} holds a line that is no monitoring cycle: {line[:80]!r}",
                expected="JSON lines written by modelway.monitoring.history",
                remedy="move the file away; debouncing then starts anew",
            ) from error
