"""Label noise: how many labels are wrong, told from what a model that was trained on other rows thinks of each.

A linear model of the answers' differences (words, pairs of words, lengths, markers) is trained on four fifths of the
prompts and asked about the last fifth, in turn. Where it is sure, it is right, if the labels are: what it still gets
wrong there is the share of flipped labels. Precisely, the chance that a label contradicts a prediction of margin m is
taken to be r + (1 - 2 r) s(-a |m|), with s the logistic function: r, the rate of labels flipped at random, is the level
that disagreement does not fall below (a lapse rate, as in psychometric curves; Wichmann and Hill, Perception &
Psychophysics 63, 2001). r and a by maximum likelihood; r's interval from the profile likelihood.
Leaves out: noise that depends on the pair. Close calls that anybody may flip count only as far as the model is sure.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags, hstack
from scipy.special import expit
from sklearn.svm import LinearSVC

from pairwright.audit.findings import Checked, Figure, Finding, Shown
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, percent, share
from pairwright.audit.table import Table

TITLE = "Label noise"


@dataclass(frozen=True)
class Thresholds:
    least: int = 1000
    """Pairs below which nothing is said: too few for the model. From the miniature (docs/audit/noise.md)."""
    widest: float = 0.25
    """Width of the interval above which the rate cannot be told: the model is never sure enough."""
    low: float = 0.03
    """Lower end of the interval from which it is said."""
    medium: float = 0.08
    """Rate from which harm is medium. Ours."""
    high: float = 0.15
    """Rate from which harm is high: ten points of noise can cost thirty of win rate (arXiv 2404.09824)."""
    suspect: float = 0.8
    """Probability that a row's label is wrong from which the filter drops it. Ours."""


FOLDS = 5
_STRENGTH = 0.01
"""C of the model. On the miniature 0.003 to 0.1 give the same rate within a point."""
_COLUMNS = [
    "words",
    "new",
    "hedges",
    "boosters",
    "praise",
    "agrees",
    "names",
    "refuses",
    "lists",
    "headings",
    "emoji",
    "exclamations",
]
_RATES = np.linspace(0, 0.49, 99)
_SLOPES = np.exp(np.linspace(-3, 2.5, 45))
_BINS = 60
_PROFILE = 1.92
"""Half of chi-squared's 95% quantile with one degree of freedom."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    rows = table.sample.rows
    if len(rows) < limits.least:
        return Checked(skipped=f"{len(rows):,} pairs; {limits.least:,} are needed to tell the rate")
    margins = held_out_margins(table)
    rate, low, high, slope = fitted(margins)
    agreed = share(int((margins > 0).sum()), len(margins), "labels that a model trained on other prompts agrees with")
    figures = {"agreement": agreed}
    if high - low > limits.widest:
        return Checked(
            figures,
            skipped=f"the rate may be anything from {percent(low)} to {percent(high)}: a model of words agrees with "
            f"{percent(agreed.value)} of the labels and is never sure",
        )
    figures["rate"] = figure = Figure(rate, low, high, "estimated share of labels that are flipped", None, len(rows))
    plots = {"rate": {"rate": rate, "low": low, "high": high}}
    if low < limits.low:
        return Checked(figures, plots=plots)
    wrong = _probability_wrong(margins, rate, slope)
    at = np.flatnonzero(wrong >= limits.suspect)
    worst = at[np.argsort(-wrong[at], kind="stable")][:EXAMPLES]
    where = "" if len(rows) == len(table) else f" (in a sample of {len(rows):,} rows; the filter knows only these)"
    finding = Finding(
        "noise", "Labels are wrong", harm(rate, limits.medium, limits.high),
        f"About {between(figure)} of the labels look flipped{where}; {len(at):,} of them can be pointed at.", figure,
        "Flipped labels teach the opposite: ten points of noise can cost thirty points of win rate.",
        "Chowdhury et al., arXiv 2403.00409; arXiv 2404.09824",
        "Train with robust or dpo's label smoothing at this rate; have the suspects judged again; the filter drops "
        "them.",
        rows[at], tuple(Shown(int(rows[row]), f"wrong with probability {wrong[row]:.2f}") for row in worst),
    )  # fmt: skip
    return Checked(figures, (finding,), plots=plots)


def held_out_margins(table: Table) -> np.ndarray:
    """(s,) the model's margin for each sampled row, trained without its prompt; above 0 where it agrees with the
    label."""
    rows = table.sample.rows
    features = hstack([table.sample.chosen - table.sample.rejected, 2 * _numbers(table, rows)], format="csr")
    sign = np.where(np.arange(len(rows)) % 2, 1.0, -1.0)  # half of the pairs the other way round: two classes
    features = (diags(sign) @ features).tocsr()
    mixed = table["prompt"][rows] * np.uint64(0x9E3779B97F4A7C15)
    fold = (mixed >> np.uint64(40)) % np.uint64(FOLDS)
    margins = np.zeros(len(rows))
    for number in range(FOLDS):
        held = fold == number
        if held.any() and not held.all():
            model = LinearSVC(C=_STRENGTH, fit_intercept=False, dual=True, random_state=0, max_iter=200, tol=0.01)
            model.fit(features[~held], sign[~held] > 0)
            margins[held] = model.decision_function(features[held])
    return margins * sign


def _numbers(table: Table, rows: np.ndarray) -> csr_matrix:
    columns = [np.log1p(table.sides(name)[0][rows], dtype=np.float64) for name in _COLUMNS]
    others = [np.log1p(table.sides(name)[1][rows], dtype=np.float64) for name in _COLUMNS]
    return csr_matrix(np.stack(columns, axis=1) - np.stack(others, axis=1))


def fitted(margins: np.ndarray) -> tuple[float, float, float, float]:
    """(rate, its low, its high, slope) from held-out margins, by maximum likelihood over a grid."""
    size = np.abs(margins) / (np.median(np.abs(margins)) or 1.0)
    order = np.argsort(size, kind="stable")
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    middle = np.array([size[part].mean() for part in bins])
    wrong = np.array([(margins[part] <= 0).sum() for part in bins])
    right = np.array([len(part) for part in bins]) - wrong
    error = expit(-_SLOPES[:, None] * middle)
    chance = _RATES[:, None, None] + (1 - 2 * _RATES[:, None, None]) * error
    likelihood = (wrong * np.log(np.maximum(chance, 1e-12)) + right * np.log(1 - chance)).sum(axis=2)
    profile = likelihood.max(axis=1)
    best = int(profile.argmax())
    inside = _RATES[profile >= profile[best] - _PROFILE]
    slope = float(_SLOPES[likelihood[best].argmax()])
    return float(_RATES[best]), float(inside[0]), float(inside[-1]), slope


def _probability_wrong(margins: np.ndarray, rate: float, slope: float) -> np.ndarray:
    """(s,) probability that the label is flipped, given that the model speaks for or against it this strongly."""
    right = expit(slope * margins / (np.median(np.abs(margins)) or 1.0))
    return rate * (1 - right) / (rate * (1 - right) + (1 - rate) * right)
