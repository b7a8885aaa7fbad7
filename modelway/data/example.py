"""A made-up table of orders, the same every time: the template works before the user's own data does."""

import csv
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelway.data.profile import Roles
from modelway.data.storage import storage_errors

EXAMPLE_ROWS = 1_200
EXAMPLE_ROLES = Roles(key=("order_id",), time="ordered_on", label="returned")
_HEADER = ("order_id", "ordered_on", "price_usd", "items", "gift", "channel", "returned")
_FIRST_ORDER = datetime(2024, 1, 1, tzinfo=UTC)
_HOURS_APART = 7
_GIFT_SHARE = 0.2


def write_example(folder: Path) -> Path:
    """Write `data/example.csv` below the folder and return its path.

    Raises:
        StorageError: The folder cannot be written.
    """
    chance = random.Random(7)  # noqa: S311 - an example table, no secret
    target = folder / "data" / "example.csv"
    with storage_errors(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", newline="") as file:
            csv.writer(file).writerows([_HEADER, *(_order(n, chance) for n in range(EXAMPLE_ROWS))])
    return target


def _order(number: int, chance: random.Random) -> list[object]:
    moment = _FIRST_ORDER + timedelta(hours=_HOURS_APART * number)
    price, items = round(chance.lognormvariate(3.5, 0.8), 2), chance.randint(1, 6)
    channel, gift = chance.choice(["web", "shop", "phone"]), chance.random() < _GIFT_SHARE
    risk = 0.08 + 0.002 * min(price, 150) + (0.15 if channel == "web" else 0.0)
    returned = chance.random() < risk
    return [f"A{number:05d}", f"{moment:%Y-%m-%d %H:%M:%S}", price, items, int(gift), channel, int(returned)]
