"""Pages for people, side by side in the stack's reports folder."""

import shutil
from pathlib import Path

from modelway.registry.model_version import ModelVersion
from modelway.registry.vault import TWIN_FILE
from stacks.active import registry, reports_folder, tracker


def evaluation_page(version: ModelVersion) -> Path:
    """Where the evaluation of a version is shown."""
    return reports_folder() / "evaluation" / f"{version.name}-{version.version}.html"


def show_evaluation(version: ModelVersion) -> Path:
    """Put a copy of the version's evaluation page among the reports, and page and JSON into its MLflow run.

    Raises:
        NotFoundError: The version has no page.
    """
    page, written = evaluation_page(version), registry().report(version.name, version.version)
    page.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(written, page)
    for file in (written, written.with_name(TWIN_FILE)):
        tracker().log_file(version.run_id, file, "evaluation")
    return page
