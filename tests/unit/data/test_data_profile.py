import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.contract import Column, DataContract
from modelway.data.column_kinds import identifiers
from modelway.data.profile import Roles, look
from modelway.data.table_form import DEALT_TIME, MADE_KEY, TableForm, number
from modelway.data.typed import typed
from modelway.errors import ConfigError, ContractError, SourceError

ROLES = Roles(key=("Order No",), time="Day", label="Returned")
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

    (note,) = look(tmp_path / "a.csv", Roles(key=("k",), time="t", label="y")).others

    assert note.kind == "text"


def test_parquet_types_are_believed(tmp_path) -> None:
    table = pl.DataFrame(
        {"k": [1, 2], "t": ["2024-01-01", "2024-03-01"], "y": [True, False], "f": [0.5, 1.5]}
    )
    table.with_columns(pl.col("t").str.to_date()).write_parquet(tmp_path / "a.parquet")

    profile = look(tmp_path / "a.parquet", Roles(key=("k",), time="t", label="y"))

    assert (profile.positive, profile.months, profile.others[0].kind) == ("true", 3, "float")


@pytest.mark.parametrize(
    ("changes", "roles", "message"),
    [
        pytest.param({}, {"key": ("nope",)}, "no column nope", id="missing-column"),
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
    names = identifiers(columns)

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


GERMAN = "Nr;Datum;Betrag in €;Rabatt;Art;Ja\n" + "".join(
    f"{n};{1 + n % 28:02d}.{1 + n % 12:02d}.2024;1.{n:03d},5{n % 10} €;{n % 9},0%;{art};{n % 3 % 2}\n"
    for n, art in enumerate(["sauer", "süß"] * 30)
)


def test_a_semicolon_table_with_decimal_commas_and_umlauts_is_read_as_it_was_meant(tmp_path) -> None:
    (tmp_path / "a.csv").write_text(GERMAN, encoding="cp1252")

    profile = look(tmp_path / "a.csv", Roles(key=("Nr",), time="Datum", label="Ja"))
    (chunk,) = profile.form.read(str(tmp_path / "a.csv"), ("Betrag in €", "Art"))
    amounts = chunk.select(number(pl.col("Betrag in €"), profile.form.decimal)).to_series()

    assert (profile.form.separator, profile.form.encoding, profile.form.decimal) == (";", "cp1252", ",")
    assert {c.source: c.kind for c in profile.others} == {
        "Betrag in €": "float",
        "Rabatt": "float",
        "Art": "string",
    }
    assert amounts.to_list() == [float(f"1{n:03d}.5{n % 10}") for n in range(60)]
    assert chunk["Art"].unique().sort().to_list() == ["sauer", "süß"]
    assert profile.newest.date().isoformat() == max(
        f"2024-{1 + n % 12:02d}-{1 + n % 28:02d}" for n in range(60)
    )


@given(
    value=st.floats(-1e9, 1e9).map(lambda x: round(x, 2)),
    mark=st.sampled_from([".", ","]),
    unit=st.booleans(),
)
def test_a_number_is_read_back_however_it_is_written(value, mark, unit) -> None:
    english = f"{value:,.2f}"
    text = english if mark == "." else english.translate(str.maketrans(",.", ".,"))

    cell = pl.DataFrame({"x": [f"{text} €" if unit else text]})

    assert cell.select(number(pl.col("x"), mark)).item() == value


@pytest.mark.parametrize(
    "text", ["1,5,2", "12,34", "1.2.3", "abc", "", "--1", "5 kg", "1e", "2024-01-01", "%"]
)
def test_what_is_no_number_is_null(text) -> None:
    assert pl.DataFrame({"x": [text]}).select(number(pl.col("x"), ".")).item() is None


def test_a_table_without_a_time_or_a_key_gets_them_made(tmp_path) -> None:
    rows = "".join(f"{n % 50},{n % 2}\n" for n in range(1000))
    (tmp_path / "a.csv").write_text(f"age,y\n{rows}")

    profile = look(tmp_path / "a.csv", Roles(key=(), time=None, label="y"))
    (first,) = profile.form.read(str(tmp_path / "a.csv"), (MADE_KEY, DEALT_TIME, "age"))
    (again,) = profile.form.read(str(tmp_path / "a.csv"), (MADE_KEY, DEALT_TIME, "age"))

    assert first.equals(again), "the same rows get the same days"
    assert first[MADE_KEY].to_list() == [str(n) for n in range(1, 1001)]
    assert first[DEALT_TIME].n_unique() > 300, "rows are spread over the year"
    assert profile.months == 12


def test_a_dealt_day_follows_from_the_key_and_not_from_the_place(tmp_path) -> None:
    rows = [f"k{n},{n % 2}" for n in range(40)]
    form = TableForm(key=("id",), dealt=True)

    def days(order):
        (tmp_path / "a.csv").write_text("\n".join(["id,y", *order]))
        (chunk,) = form.read(str(tmp_path / "a.csv"))
        return dict(zip(chunk["id"], chunk[DEALT_TIME], strict=True))

    assert days(rows) == days(rows[::-1])


def test_numbers_go_on_from_chunk_to_chunk(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("y\n0\n1\n")

    chunks = TableForm(numbered=True).read(str(tmp_path), (MADE_KEY,))

    assert [key for chunk in chunks for key in chunk[MADE_KEY]] == ["1", "2", "3", "4"]


def test_several_columns_name_a_row_together_and_a_row_said_twice_is_no_other_row(tmp_path) -> None:
    source = _csv(tmp_path, **{"Order No": ["1", "1", "2", "2"]})
    table = pl.read_csv(source, infer_schema=False)
    pl.concat([table, table.head(1)]).write_csv(source)

    profile = look(source, ROLES.model_copy(update={"key": ("Order No", "Day")}))
    (chunk,) = profile.form.read(str(source))

    assert chunk[MADE_KEY].to_list()[:2] == ["1|2024-01-30", "1|2024-01-31"]
    assert profile.set_aside == ("1 rows repeat another row word for word",)


def test_the_words_for_missing_do_not_make_a_number_a_category_and_a_constant_is_of_no_use(tmp_path) -> None:
    source = _csv(tmp_path, items=["1", "n/a", "-", "5"], channel=["web"] * 4)

    kinds = {c.source: c.kind for c in look(source, ROLES).others}

    assert (kinds["items"], kinds["channel"]) == ("int", "text")


def test_a_few_rows_without_a_time_are_counted_not_refused(tmp_path) -> None:
    days = ["2024-01-01"] * 39 + ["soon"]
    table = {"k": range(40), "t": days, "y": [n % 2 for n in range(40)]}
    pl.DataFrame(table).write_csv(tmp_path / "a.csv")

    profile = look(tmp_path / "a.csv", Roles(key=("k",), time="t", label="y"))

    assert profile.set_aside == ("1 rows have no time that can be read",)


@pytest.mark.parametrize(
    ("text", "encoding", "separator"),
    [
        pytest.param('a,b\n"x;y;z",1\n', "utf-8", ",", id="separators-in-quotes"),
        pytest.param("a\tb\n1,5\t2\n", "utf-8", "\t", id="tabs"),
        pytest.param("a|b;c|d\n1|2|3\n", "utf-8", "|", id="bars"),
        pytest.param("a;b\nä;1\n", "utf-16", ";", id="utf-16"),
        pytest.param("a;b\nä;1\n", "utf-8-sig", ";", id="byte-order-mark"),
        pytest.param("a\n1\n", "utf-8", ",", id="one-column"),
    ],
)
def test_separator_and_encoding_are_found_out(tmp_path, text, encoding, separator) -> None:
    (tmp_path / "a.csv").write_text(text, encoding=encoding)

    form = TableForm.sniffed(str(tmp_path / "a.csv"))
    (chunk,) = form.read(str(tmp_path / "a.csv"))

    assert form.separator == separator
    assert form.encoding == ("utf-16" if encoding == "utf-16" else "utf-8")
    assert chunk.columns[0] == "a"


def test_bytes_that_are_no_text_are_refused(tmp_path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n\x81\x8d,1\n")

    with pytest.raises(SourceError, match="no encoding known"):
        TableForm.sniffed(str(tmp_path / "a.csv"))


def _text(folder, text: str):
    (folder / "orders.csv").write_text(text, encoding="utf-8")
    return folder / "orders.csv"


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte-order-mark"])
def test_cells_of_several_lines_do_not_hide_the_separator(tmp_path, mark) -> None:
    cells = '"Order, No";Day;Returned;note\n'
    cells += "".join(f'{n};2024-01-{n % 28 + 1:02d};{n % 2};"a, b\nc; ""d""\n"\n' for n in range(60))
    roles = Roles(key=("Order, No",), time="Day", label="Returned")

    profile = look(_text(tmp_path, mark + cells), roles)

    assert (profile.rows, profile.form.separator) == (60, ";")


def test_a_cell_larger_than_pythons_csv_module_takes_is_no_crash(tmp_path) -> None:
    source = _csv(tmp_path, channel=["web", "x" * 140_000, "web", "web"])

    assert look(source, ROLES).rows == 4


@pytest.mark.parametrize(
    ("cells", "roles", "kind"),
    [
        pytest.param(["03.05.2024", "", "05.05.2024", ""], {}, "text", id="a-day-in-another-form"),
        pytest.param(["2024-05-03 10:00", "", "", ""], {}, "text", id="a-moment-beside-days"),
        pytest.param(["9007199254740993", "1", "2", "3"], {}, "float", id="beyond-exact-whole-numbers"),
    ],
)
def test_what_could_be_mistaken_for_a_feature(tmp_path, cells, roles, kind) -> None:
    profile = look(_csv(tmp_path, channel=cells), ROLES.model_copy(update=roles))

    assert next(c.kind for c in profile.others if c.source == "channel") == kind


def test_days_written_as_numbers_are_times_where_the_row_says_its_own_so(tmp_path) -> None:
    days = ["20240130", "20240131", "20240201", "20240401"]
    source = _csv(tmp_path, Day=days, channel=["20240601", "", "20240602", ""])

    profile = look(source, ROLES)

    assert next(c.kind for c in profile.others if c.source == "channel") == "timestamp"


def test_a_label_that_says_na_is_neither_class(tmp_path) -> None:
    profile = look(_csv(tmp_path, Returned=["no", "yes", "NA", "no"]), ROLES)

    assert (profile.positive, profile.positives, profile.label_missing) == ("yes", 1, ("NA",))
    assert profile.label.nullable


def test_a_class_is_not_taken_for_a_missing_label(tmp_path) -> None:
    source = _csv(tmp_path, Returned=["none", "mild", "severe", "none"])

    assert look(source, ROLES.model_copy(update={"positive": "severe"})).label_missing == ()
    assert (
        look(
            _csv(tmp_path, Returned=["NA", "EU", "NA", "EU"]), ROLES.model_copy(update={"positive": "EU"})
        ).label_missing
        == ()
    )


def test_never_is_not_the_newest_day(tmp_path) -> None:
    back_on = ["2024-05-01", "9999-12-31", "9999-12-31", "2024-05-09"]
    source = _csv(tmp_path, **{"Back On": back_on})

    profile = look(source, ROLES.model_copy(update={"label_known": "Back On"}))

    assert f"{profile.newest:%Y-%m-%d}" == "2024-05-09"


def test_numbers_are_not_taken_for_moments(tmp_path) -> None:
    pl.DataFrame({"k": [1, 2], "t": [1_700_000_000, 1_700_000_100], "y": [1, 0]}).write_parquet(
        tmp_path / "a.parquet"
    )

    with pytest.raises(ConfigError, match="Int64, no times"):
        look(tmp_path / "a.parquet", Roles(key=("k",), time="t", label="y"))


def folder_of(folder, *tables: pl.DataFrame):
    for at, table in enumerate(tables):
        table.write_csv(folder / f"part-{at}.csv")
    return folder


def test_the_files_of_a_folder_may_order_their_columns_otherwise_and_hold_more(tmp_path) -> None:
    whole = pl.DataFrame(TABLE)
    later = whole.slice(2).select(reversed(whole.columns)).with_columns(pl.lit("x").alias("came later"))

    profile = look(folder_of(tmp_path, whole.head(2), later), ROLES)

    assert (profile.rows, profile.positives) == (4, 1)
    assert "came later" not in {column.source for column in profile.others}


def test_a_file_of_a_folder_that_lacks_a_column_is_named(tmp_path) -> None:
    whole = pl.DataFrame(TABLE)

    with pytest.raises(ContractError, match=r"part-1\.csv lacks the columns items") as caught:
        look(folder_of(tmp_path, whole.head(2), whole.slice(2).rename({"items": "pieces"})), ROLES)

    assert "pieces" in caught.value.found


def test_files_whose_columns_are_of_other_types_do_not_fit_together(tmp_path) -> None:
    table = pl.DataFrame({"k": ["a", "b"], "t": ["2024-01-01", "2024-03-01"], "y": [0, 1], "f": [0.5, 1.5]})
    table.write_parquet(tmp_path / "a.parquet")
    table.with_columns(pl.col("f").cast(pl.String)).write_parquet(tmp_path / "b.parquet")

    with pytest.raises(SourceError, match="do not fit together"):
        look(tmp_path, Roles(key=("k",), time="t", label="y"))


@pytest.mark.parametrize(
    ("roles", "named"),
    [
        ({"key": ("Order No", "Order No")}, "Order No"),
        ({"label": "Order No"}, "Order No"),
        ({"label": "Day"}, "Day"),
        ({"label_known": "Day"}, "Day"),
        ({"label_known": "Returned"}, "Returned"),
    ],
)
def test_a_column_plays_one_part(tmp_path, roles, named) -> None:
    with pytest.raises(ConfigError, match=f"{named} is named for two parts"):
        look(_csv(tmp_path), ROLES.model_copy(update=roles))


def test_the_time_may_be_a_part_of_the_key(tmp_path) -> None:
    profile = look(_csv(tmp_path), ROLES.model_copy(update={"key": ("channel", "Day")}))

    assert profile.form.key == ("channel", "Day")


def test_a_named_column_that_the_header_has_twice_is_refused(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("k,t,y,y\na,2024-01-01,0,1\nb,2024-03-01,1,0\n")

    with pytest.raises(ConfigError, match="the header has y more than once"):
        look(path, Roles(key=("k",), time="t", label="y"))


@pytest.mark.parametrize(
    ("column", "says"), [("Returned", "no value in any row"), ("Day", "nothing: it is empty")]
)
def test_an_empty_label_or_time_is_called_empty(tmp_path, column, says) -> None:
    with pytest.raises(ConfigError, match=says):
        look(_csv(tmp_path, **{column: [None] * 4}), ROLES)


def test_nan_is_no_class_of_a_label_of_numbers(tmp_path) -> None:
    table = pl.DataFrame({"k": ["a", "b"], "t": ["2024-01-01", "2024-03-01"], "y": [1.0, float("nan")]})
    table.write_parquet(tmp_path / "a.parquet")

    with pytest.raises(ConfigError, match=r"y has the values 1\.0"):
        look(tmp_path / "a.parquet", Roles(key=("k",), time="t", label="y"))
