"""Pages for people, side by side in the stack's reports folder."""

import shutil
from pathlib import Path

from modelway.registry.model_version import ModelVersion
from stacks.active import registry, reports_folder


def evaluation_page(version: ModelVersion) -> Path:
    """Where the evaluation of a version is shown."""
    return reports_folder() / "evaluation" / f"{version.name}-{version.version}.html"


def show_evaluation(version: ModelVersion) -> Path:
    """Put a copy of the version's evaluation page among the reports.

    Raises:
        NotFoundError: The version has no page.
    """
    page = evaluation_page(version)
    page.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(registry().report(version.name, version.version), page)
    return page
