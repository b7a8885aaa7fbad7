"""Write a contract down as unit tests: a sound row is kept, and each way of breaking it has its consequence.

The sound row is one of the source's. Each test changes as few of its values as it takes, and states what the
contract says becomes of it: set aside for that reason, repaired, or noted. What the row as the contract
treats it today does not confirm is left out, with the reason.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from modelway.contract import Column, DataContract, Frozen, RowRule
from modelway.data.storage import storage_errors
from modelway.data.validation import Inspection
from modelway.errors import ContractError
from modelway.usecase import UseCase

_OUTSIDE = "not in the set"
_MOST_TRIES = 20_000
_FAR = timedelta(days=40_000)


class Case(Frozen):
    """One way to break the contract."""

    name: str
    changes: Mapping[str, Any]
    """Column -> value, on the sound row."""
    fault: str
    """Rule or check that must find it."""
    set_aside: bool


class Written(Frozen):
    """What was written, and what could not be."""

    tested: tuple[str, ...]
    left_out: Mapping[str, str]
    """Rule or check -> why."""


def write_contract_tests(
    use_case: UseCase, source: str | None, target: Path, *, how: str | None = None
) -> Written:
    """Write a pytest file for a use case's contract.

    Args:
        use_case: Whose.
        source: Where to look for a sound row; None is its default.
        target: The file; one that is there is replaced.
        how: The import line that gives the tests `use_case`; None loads the installed one by name.

    Raises:
        SourceError: The source cannot be read.
        ContractError: Not one row of it is sound.
        StorageError: The file cannot be written.
    """
    sound = _sound_row(use_case, source or use_case.default_source)
    cases, left_out = _cases(use_case.contract, sound)
    pages = Environment(
        loader=PackageLoader("modelway.data", "template"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python, no web page; every value goes through `repr`
    )
    row = sound.row(0, named=True)
    text = pages.get_template("test_contract.py.jinja").render(
        name=use_case.name,
        version=use_case.contract.version,
        how=how
        or f"from modelway.usecase import load_use_case\n\nuse_case = load_use_case({use_case.name!r})",
        row={name: repr(value) for name, value in row.items()},
        schema={name: _type(kind) for name, kind in sound.schema.items()},
        cases=cases,
    )
    with storage_errors(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return Written(tested=("a sound row", *(case.name for case in cases)), left_out=left_out)


def _sound_row(use_case: UseCase, source: str) -> pl.DataFrame:
    """Of the first chunk that keeps rows without a repair, one with the fewest notes; all cleaned columns."""
    repairs = {rule.name for rule in use_case.contract.rules if rule.action == "repair"}
    inspection = Inspection(use_case.contract)
    for raw in use_case.load(source):
        cleaned = use_case.clean(raw).with_columns(pl.col(pl.Float64).fill_nan(None))
        looked = inspection.look(cleaned)
        found = pl.DataFrame(dict(looked.broken))
        repaired = found.select(
            pl.any_horizontal(pl.lit(value=False), *repairs & set(found.columns)).alias("_")
        )["_"]
        sound = looked.rows["_reason"].is_null() & ~repaired
        if sound.any():
            noted = found.filter(sound).sum_horizontal()
            return cleaned.filter(sound)[[noted.arg_min() or 0]]
    raise ContractError(
        f"no row of {source} is sound", expected="at least one to start from", remedy="name another source"
    )


def _cases(contract: DataContract, sound: pl.DataFrame) -> tuple[list[Case], dict[str, str]]:
    cases, left_out = [], {}
    for case in [*_cells(contract), *_rules(contract, sound)]:
        why = _fails(contract, sound, case)
        if why is None:
            cases.append(case)
        else:
            left_out[case.fault] = why
    found = {case.fault for case in cases} | set(left_out)
    unmet = {
        rule.name: "no value was found that breaks it" for rule in contract.rules if rule.name not in found
    }
    return cases, {**left_out, **unmet}


def _fails(contract: DataContract, sound: pl.DataFrame, case: Case) -> str | None:
    """Why the case does not do what it says; None when it does."""
    looked = Inspection(contract).look(_changed(sound, case.changes))
    broken = [name for name, rows in looked.broken.items() if rows.any()]
    if case.fault not in broken:
        return f"found as {', '.join(broken) or 'sound'} instead"
    if bool(looked.aside.height) != case.set_aside:
        return f"{', '.join(broken)} come together"
    return None


def _changed(sound: pl.DataFrame, changes: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{**sound.row(0, named=True), **changes}], schema=sound.schema)


def _cells(contract: DataContract) -> Iterator[Case]:
    for column in contract.columns:
        for check, value, words in _outside(column):
            fault = f"{column.name}:{check}"
            name = re.sub(r"\W", "_", f"{column.name}_{words}")
            yield Case(name=name, changes={column.name: value}, fault=fault, set_aside=True)


def _outside(column: Column) -> Iterator[tuple[str, Any, str]]:
    """Pandera's name of each check, a value that it refuses, and words for it."""
    whole = column.kind == "int"
    if not column.nullable:
        yield "not_nullable", None, "that_is_empty"
    if column.ge is not None:
        yield f"greater_than_or_equal_to({column.ge})", _number(column.ge - 1, whole=whole), "below_its_range"
    if column.le is not None:
        yield f"less_than_or_equal_to({column.le})", _number(column.le + 1, whole=whole), "above_its_range"
    if column.isin is not None:
        yield f"isin({list(column.isin)})", _OUTSIDE, "outside_its_set"


def _number(value: float, *, whole: bool) -> float | int:
    return int(value) if whole else float(value)


def _rules(contract: DataContract, sound: pl.DataFrame) -> Iterator[Case]:
    for rule in contract.rules:
        changes = _breaking(rule, sound)
        if changes is not None:
            aside = rule.action == "quarantine"
            name = re.sub(r"\W", "_", f"rule_{rule.name}")
            yield Case(name=name, changes=changes, fault=rule.name, set_aside=aside)


def _breaking(rule: RowRule, sound: pl.DataFrame) -> Mapping[str, Any] | None:
    """The fewest changes of the sound row, among values the rule speaks of, that break it."""
    condition = pl.sql_expr(rule.violated)
    names = sorted(set(condition.meta.root_names()))
    values = {name: list(_candidates(rule.violated, sound[name])) for name in names}
    tries = list(islice(_combined(values), _MOST_TRIES))
    if not tries:
        return None
    rows = pl.DataFrame([{**sound.row(0, named=True), **changes} for changes in tries], schema=sound.schema)
    broken = rows.select(condition.cast(pl.Boolean).fill_null(value=False).alias("_"))["_"].arg_true()
    return tries[broken[0]] if broken.len() else None


def _combined(values: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Changes of one column, then of two, and so on."""
    for count in range(1, len(values) + 1):
        for names in combinations(values, count):
            yield from (dict(zip(names, chosen, strict=True)) for chosen in product(*map(values.get, names)))  # type: ignore[arg-type]  # the names are the keys


def _candidates(sql: str, values: pl.Series) -> Iterable[Any]:
    """Nothing, what the rule names, and values to either side of that and of the row's own."""
    own = values[0]
    if values.dtype == pl.Boolean:
        return [None, True, False]
    if values.dtype == pl.String:
        return [None, *re.findall(r"'([^']*)'", sql), _OUTSIDE]
    if isinstance(own, datetime) or values.dtype.is_temporal():
        moment = own or datetime.fromisoformat("2000-01-01T00:00:00+00:00")
        return [None, *(moment + step * far for far in (timedelta(days=1), _FAR / 4) for step in (-1, 1))]
    named = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", sql)]
    near = [base + step for base in [*named, float(own or 0)] for step in (0, -1, 1)]
    return [None, *dict.fromkeys(_number(value, whole=values.dtype.is_integer()) for value in near)]


def _type(kind: pl.DataType) -> str:
    return f"pl.{kind!r}" if isinstance(kind, pl.Datetime) else f"pl.{kind!r}()".replace("()()", "()")
