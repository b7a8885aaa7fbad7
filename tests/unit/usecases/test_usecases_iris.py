import polars as pl
import pytest
from sklearn.datasets import load_iris

from modelway.data.validation import Inspection
from modelway.errors import SourceError
from modelway.usecase import load_use_case
from usecases.iris import use_case


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return pl.concat(use_case.clean(chunk) for chunk in use_case.load(use_case.default_source))


def test_the_table_is_scikit_learns(rows) -> None:
    iris = load_iris()

    assert load_use_case("iris") is use_case
    assert (
        rows.select("sepal_length", "sepal_width", "petal_length", "petal_width").to_numpy().tolist()
        == iris.data.tolist()
    )
    assert rows["virginica"].to_list() == (iris.target == 2).tolist()


def test_every_flower_is_sound_and_has_a_day_of_its_own(rows) -> None:
    kept, aside = Inspection(use_case.contract).take(rows)
    days = kept["event_time"].sort()

    assert (kept.height, aside.height, days.n_unique()) == (150, 0, 150)
    assert days.diff().drop_nulls().n_unique() == 1


def test_the_order_mixes_the_species(rows) -> None:
    shares = [part["virginica"].mean() for part in rows.sort("event_time").iter_slices(30)]

    assert all(0.2 <= share <= 0.5 for share in shares)


def test_a_file_in_another_form_is_refused(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("")

    for source in (tmp_path / "a.csv", tmp_path / "none.csv"):
        with pytest.raises(SourceError):
            list(use_case.load(str(source)))
