"""Write a new use case as a small project of the user's own: a package, its entry point, a page to read."""

import json
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from modelway.data.profile import Found, Profile
from modelway.data.storage import storage_errors
from modelway.data.table_form import TableForm
from modelway.errors import ConfigError, ContractError

_FILES = {
    "pyproject.toml.jinja": "pyproject.toml",
    "README.md.jinja": "README.md",
    "__init__.py.jinja": "{package}/__init__.py",
    "use_case.py.jinja": "{package}/use_case.py",
}
_LEAST_ROWS, _MOST_ROWS, _TEST_SHARE = 20, 500, 20


@dataclass(frozen=True, slots=True)
class Project:
    """What is to be written, and where."""

    name: str
    folder: Path
    source: Path
    """The table it reads: named relative to the project when it lies inside, else by its full path."""
    profile: Profile
    made_up: bool = False
    """Whether the table is the example's."""

    @property
    def package(self) -> str:
        """The import package."""
        return f"{self.name}_use_case"


def require_name(name: str) -> None:
    """Refuse a name that cannot be a package's.

    Raises:
        ConfigError: It is no lower-case identifier.
    """
    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        raise ConfigError(
            f"{name!r} cannot be a use case's name",
            expected="lower-case letters, digits and _, a letter first, no _ at its end",
            remedy=f"try {better or 'my_case'}",
        )


def require_free(folder: Path) -> None:
    """Refuse to write over somebody's files.

    Raises:
        ConfigError: There is something at that path.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError(
            f"{folder} is there already",
            expected="a folder that does not exist yet, or is empty",
            remedy="name another with --folder, or remove it",
        )


def install_command(folder: Path) -> str:
    """How to make the project known to this environment; needs no network."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e"]
    return shlex.join([*pip, str(folder)])


def as_of(profile: Profile) -> date:
    """The first day on which everything in the table was known."""
    return profile.newest.date() + timedelta(days=1)


def scaffold(project: Project) -> None:
    """Write the project's files.

    Raises:
        ConfigError: The name is no identifier.
        StorageError: The folder cannot be written.
    """
    require_name(project.name)
    words = _words(project)
    pages = _pages()
    texts = {path: pages.get_template(template).render(words) for template, path in _FILES.items()}
    with storage_errors(str(project.folder)):
        for path, text in texts.items():
            target = project.folder / path.format(package=project.package)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    _write_tests(project)


def _write_tests(project: Project) -> None:
    """Unit tests of the contract, from a sound row of the table. Without one there is nothing to write."""
    from modelway.data.contract_tests import write_contract_tests  # noqa: PLC0415 - pandera, 2 s

    name = f"{project.package}.use_case"
    spec = spec_from_file_location(name, project.folder / project.package / "use_case.py")
    if spec is None or spec.loader is None:
        raise ConfigError(f"{name} cannot be imported", expected="the module that was written just now")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    target = project.folder / "tests" / "test_contract.py"
    with suppress(ContractError):  # `modelway usecase check` says what is wrong with the rows
        write_contract_tests(module.use_case, None, target, how=f"from {project.package} import use_case")


def _pages() -> Environment:
    pages = Environment(
        loader=PackageLoader("modelway.data", "template"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python and TOML, no web page; foreign text goes through `pystr`
    )
    pages.filters["pystr"] = _python_string
    return pages


def _words(project: Project) -> Mapping[str, Any]:
    profile = project.profile
    used = [column for column in profile.others if column.kind != "text"]
    clock = profile.label_known.name if profile.label_known else None
    later = [column.name for column in used if column.kind == "timestamp"]
    return {
        "name": project.name,
        "title": project.name.replace("_", " "),
        "package": project.package,
        "class_name": "".join(word.title() for word in project.name.split("_")) + "UseCase",
        "profile": profile,
        "form": _form_expression(profile.form),
        "source": _source_expression(project),
        "file_name": project.source.name,
        "made_up": project.made_up,
        "columns": _columns(profile, used),
        "features": [_feature(column) for column in used if column.kind != "timestamp"],
        "forbidden": [profile.label.name, *([clock] if clock else []), *later],
        "later": later,
        "unused": [column.source for column in profile.others if column.kind == "text"],
        "label_clock": clock,
        "as_of": f"{as_of(profile):%Y-%m-%d}",
        "min_rows": max(_LEAST_ROWS, min(_MOST_ROWS, profile.rows // _TEST_SHARE)),
    }


def _columns(profile: Profile, used: list[Found]) -> list[Mapping[str, Any]]:
    clock = profile.label_known
    label = _column(profile.label, clock.name if clock else None)
    clocks = [_column(clock, clock.name)] if clock else []
    return [label, *clocks, *(_column(c, c.name if c.kind == "timestamp" else None) for c in used)]


def _column(found: Found, clock: str | None) -> Mapping[str, Any]:
    return {
        "name": found.name,
        "source": found.source,
        "kind": found.kind,
        "nullable": found.nullable,
        "clock": clock,
    }


def _feature(found: Found) -> Mapping[str, str]:
    sql = f"CAST({found.name} AS FLOAT)" if found.kind == "bool" else ""
    return {"name": found.name, "kind": "category" if found.kind == "string" else "numeric", "sql": sql}


def _form_expression(form: TableForm) -> str:
    """`TableForm()` with what differs from a plain table."""
    said = form.model_dump(exclude_defaults=True)
    return f"TableForm({', '.join(f'{name}={value!r}' for name, value in said.items())})"


def _source_expression(project: Project) -> str:
    here, there = project.folder.resolve(), project.source.resolve()
    if there.is_relative_to(here):
        return f"Path(__file__).parents[1] / {_python_string(str(there.relative_to(here)))}"
    return f"Path({_python_string(str(there))})"


def _python_string(text: str) -> str:
    """A literal: what JSON writes as a string is one in Python too."""
    return json.dumps(text, ensure_ascii=False)
