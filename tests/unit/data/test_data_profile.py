import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.contract import Column, DataContract
from modelway.data.profile import Roles, _names, look
from modelway.data.typed import typed
from modelway.errors import ConfigError, ContractError

ROLES = Roles(key="Order No", time="Day", label="Returned")
TABLE = {
    "Order No": ["1", "2", "3", "4"],
    "Day": ["2024-01-30", "2024-01-31", "2024-02-01", "2024-04-01"],
    "Returned": ["no", "yes", "no", "no"],
    "Price (EUR)": ["1.5", "2", None, "4"],
    "items": ["1", "2", "3", "4"],
    "gift": ["true", "false", "true", ""],
    "channel": ["web", "shop", "web", "web"],
    "Back On": ["", "2024-02-09", "", ""],
    "nothing": [None, None, None, None],
    "label": ["a", "b", "a", "b"],
    "class": ["x", "y", "x", "y"],
}


def _csv(folder, **changes):
    pl.DataFrame({**TABLE, **changes}).write_csv(folder / "orders.csv")
    return folder / "orders.csv"


def test_what_each_column_seems_to_be(tmp_path) -> None:
    profile = look(_csv(tmp_path), ROLES)

    assert {c.source: (c.name, c.kind) for c in profile.others} == {
        "Price (EUR)": ("price_eur", "float"),
        "items": ("items", "int"),
        "gift": ("gift", "bool"),
        "channel": ("channel", "string"),
        "Back On": ("back_on", "timestamp"),
        "nothing": ("nothing", "text"),
        "label": ("label_value", "string"),
        "class": ("c_class", "string"),
    }
    assert (profile.positive, profile.time_format, profile.months) == ("yes", "%Y-%m-%d", 4)


def test_a_column_of_many_different_texts_is_free_text(tmp_path) -> None:
    rows = 300
    table = pl.DataFrame(
        {
            "k": range(rows),
            "t": ["2024-01-01"] * rows,
            "y": [n % 2 for n in range(rows)],
            "note": [f"text {n}" for n in range(rows)],
        }
    )
    table.write_csv(tmp_path / "a.csv")

    (note,) = look(tmp_path / "a.csv", Roles(key="k", time="t", label="y")).others

    assert note.kind == "text"


def test_parquet_types_are_believed(tmp_path) -> None:
    table = pl.DataFrame(
        {"k": [1, 2], "t": ["2024-01-01", "2024-03-01"], "y": [True, False], "f": [0.5, 1.5]}
    )
    table.with_columns(pl.col("t").str.to_date()).write_parquet(tmp_path / "a.parquet")

    profile = look(tmp_path / "a.parquet", Roles(key="k", time="t", label="y"))

    assert (profile.positive, profile.months, profile.others[0].kind) == ("true", 3, "float")


@pytest.mark.parametrize(
    ("changes", "roles", "message"),
    [
        pytest.param({}, {"key": "nope"}, "no column nope", id="missing-column"),
        pytest.param({"Order No": ["1", "1", "2", "3"]}, {}, "repeats in 1 rows", id="repeated-key"),
        pytest.param(
            {"Day": ["01/02/2024"] * 4}, {}, "2 known time formats fit", id="ambiguous-day-or-month"
        ),
        pytest.param({"Day": ["soon"] * 4}, {}, "no known time formats fit", id="no-time"),
        pytest.param({"Day": ["2024-01-01", "", "", ""]}, {}, "no known time formats", id="empty-times"),
        pytest.param({}, {"time_format": "%d.%m.%Y"}, "4 rows of Day hold no time", id="wrong-format"),
        pytest.param({"Returned": ["a", "b", "a", "b"]}, {}, "values a, b", id="which-value-is-positive"),
        pytest.param({"Returned": ["yes"] * 4}, {}, "values yes", id="one-class"),
        pytest.param({}, {"positive": "maybe"}, "values no, yes", id="unknown-positive"),
        pytest.param({}, {"label_known": "channel"}, "channel holds no time", id="label-clock-is-no-time"),
    ],
)
def test_a_column_that_is_not_what_it_is_named_for_is_refused(tmp_path, changes, roles, message) -> None:
    with pytest.raises(ConfigError, match=message):
        look(_csv(tmp_path, **changes), ROLES.model_copy(update=roles))


def test_an_ambiguous_time_is_settled_by_its_format(tmp_path) -> None:
    source = _csv(tmp_path, Day=["01/02/2024", "02/02/2024", "03/03/2024", "01/04/2024"])

    profile = look(source, ROLES.model_copy(update={"time_format": "%d/%m/%Y"}))

    assert profile.months == 3


def test_one_value_of_many_can_be_named_positive(tmp_path) -> None:
    source = _csv(tmp_path, Returned=["setosa", "virginica", "setosa", "versicolor"])

    assert look(source, ROLES.model_copy(update={"positive": "virginica"})).positive == "virginica"


@given(st.lists(st.text(max_size=8), unique=True, max_size=12))
def test_names_are_different_identifiers_whatever_the_header_says(columns) -> None:
    names = _names(columns)

    assert len(set(names.values())) == len(columns)
    assert all(name.isidentifier() for name in names.values())


CONTRACT = DataContract(
    version="1.0",
    key="k",
    columns=(
        Column(name="at", kind="timestamp"),
        Column(name="n", kind="int"),
        Column(name="x", kind="float"),
        Column(name="b", kind="bool"),
        Column(name="s", kind="string"),
    ),
)


def test_text_is_typed_and_what_cannot_be_read_is_null() -> None:
    raw = pl.DataFrame(
        {
            "at": ["2024-01-31", "31.1.2024", None],
            "n": [" 3 ", "3.0", "three"],
            "x": ["1e3", "", "1,5"],
            "b": ["Yes", "0", "perhaps"],
            "s": [" a ", "", "b"],
        }
    )

    rows = typed(raw, CONTRACT, {c: c for c in "nxbs"} | {"at": "at"}, time_format="%Y-%m-%d")

    assert rows["at"].dt.strftime("%Y-%m-%d %Z").to_list() == ["2024-01-31 UTC", None, None]
    assert rows["n"].to_list() == [3, 3, None]
    assert rows["x"].to_list() == [1000.0, None, None]
    assert rows["b"].to_list() == [True, False, None]
    assert rows["s"].to_list() == ["a", None, "b"]


def test_a_time_with_a_zone_becomes_utc() -> None:
    contract = DataContract(version="1.0", key="at", columns=(Column(name="at", kind="timestamp"),))
    raw = pl.DataFrame({"at": ["2024-01-01T01:00:00+02:00"]})

    rows = typed(raw, contract, {"at": "at"}, time_format="%Y-%m-%dT%H:%M:%S%.f%#z")

    assert rows["at"].dt.to_string("%Y-%m-%d %H:%M").to_list() == ["2023-12-31 23:00"]


def test_a_column_without_a_source_is_refused() -> None:
    with pytest.raises(ContractError, match="nothing to make x of"):
        typed(
            pl.DataFrame({"at": ["1"]}),
            CONTRACT,
            {"at": "at", "n": "at", "x": "gone", "b": "at", "s": "at"},
            time_format="%Y",
        )
