"""PNG figures of a training, drawn without a display and without matplotlib's global state."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from modelway.stats.calibration import reliability
from modelway.stats.ranking import FloatArray, pr_auc, pr_curve, roc_auc, roc_curve
from modelway.training.candidates.base import Epoch

if TYPE_CHECKING:
    from modelway.training.artifacts import Finalist

DOTS_PER_INCH = 100


def score_figures(y: FloatArray, probabilities: FloatArray, rows_named: str) -> Mapping[str, bytes]:
    """ROC, precision against recall, and reliability of one set of rows, as PNG by file name.

    Args:
        y: Outcomes, shape (n,), 0 or 1.
        probabilities: Shape (n,).
        rows_named: Which rows these are, for the titles.
    """
    return {
        "roc.png": _png(lambda axes: _draw_roc(axes, y, probabilities, rows_named)),
        "precision_recall.png": _png(lambda axes: _draw_pr(axes, y, probabilities, rows_named)),
        "reliability.png": _png(lambda axes: _draw_reliability(axes, y, probabilities, rows_named)),
    }


def loss_figure(epochs: Sequence[Epoch], rounds: int) -> bytes:
    """Both losses over the epochs as PNG; the round that was kept is marked."""
    return _png(lambda axes: _draw_losses(axes, epochs, rounds))


def pareto_figure(finalists: "Sequence[Finalist]") -> bytes:
    """PR-AUC over operations as PNG: area is the graph's size, filled is on the front, crossed is chosen."""
    return _png(lambda axes: _draw_front(axes, finalists))


def _png(draw: Callable[[Axes], None]) -> bytes:
    figure = Figure(figsize=(5, 4), dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    content = io.BytesIO()
    canvas.print_png(content)
    return content.getvalue()


def _draw_roc(axes: Axes, y: FloatArray, probabilities: FloatArray, rows_named: str) -> None:
    curve = roc_curve(y, probabilities)
    axes.plot(curve.x, curve.y, label=f"AUC {float(roc_auc(y, probabilities)):.3f}")
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey", label="chance")
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate", title=f"ROC, {rows_named}")
    axes.legend(loc="lower right")


def _draw_pr(axes: Axes, y: FloatArray, probabilities: FloatArray, rows_named: str) -> None:
    curve = pr_curve(y, probabilities)
    axes.step(
        curve.x, curve.y, where="post", label=f"average precision {float(pr_auc(y, probabilities)):.3f}"
    )
    axes.axhline(float(np.mean(y)), linestyle=":", color="grey", label="base rate")
    axes.set(xlabel="recall", ylabel="precision", title=f"Precision and recall, {rows_named}", ylim=(0, None))
    axes.legend(loc="upper right")


def _draw_reliability(axes: Axes, y: FloatArray, probabilities: FloatArray, rows_named: str) -> None:
    bins = reliability(y, probabilities)
    scores, observed = [b.mean_score for b in bins], [b.observed for b in bins]
    errors = [[b.observed - b.low for b in bins], [b.high - b.observed for b in bins]]
    axes.errorbar(scores, observed, yerr=np.maximum(errors, 0), fmt="o-", capsize=3, label="observed, 95 %")
    end = max([*scores, *observed, 1e-6])
    axes.plot([0, end], [0, end], linestyle=":", color="grey", label="perfect")
    axes.set(xlabel="mean probability", ylabel="share of positives", title=f"Reliability, {rows_named}")
    axes.legend(loc="upper left")


def _draw_losses(axes: Axes, epochs: Sequence[Epoch], rounds: int) -> None:
    numbers = [epoch.number for epoch in epochs]
    axes.plot(numbers, [epoch.train_loss for epoch in epochs], label="train")
    axes.plot(numbers, [epoch.validation_loss for epoch in epochs], label="validation")
    axes.axvline(rounds, linestyle=":", color="grey", label=f"kept: {rounds}")
    axes.set(xlabel="trees or epochs", ylabel="log loss, nats", title="Loss")
    axes.legend()


def _draw_front(axes: Axes, finalists: "Sequence[Finalist]") -> None:
    largest = max(f.bytes for f in finalists)
    for number, kind in enumerate(dict.fromkeys(f.kind for f in finalists)):
        own = [f for f in finalists if f.kind == kind]
        x, y = [f.operations for f in own], [f.pr_auc for f in own]
        area = [30 + 270 * f.bytes / largest for f in own]
        colour = f"C{number}"
        axes.scatter(x, y, s=area, facecolors="none", edgecolors=colour, label=kind)
        front = [f for f in own if f.on_front]
        axes.scatter([f.operations for f in front], [f.pr_auc for f in front], s=30, color=colour)
    chosen = [f for f in finalists if f.chosen]
    axes.scatter([f.operations for f in chosen], [f.pr_auc for f in chosen], marker="x", s=90, color="black")
    axes.set(xscale="log", xlabel="operations a row", ylabel="PR-AUC, validation rows")
    axes.set_title("Finalists: filled = nothing beats it on every side, x = chosen", fontsize=9)
    axes.legend()
