"""The page of an audit: FOLDER/audit.json to FOLDER/audit.html. What models and users wrote is always text on it."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pairwright.audit.shares import percent
from pairwright.reporting.page import render
from pairwright.reporting.plots import bars, histogram, intervals
from pairwright.reporting.run_files import is_number, read_object, require_folder
from pairwright.reporting.writing import write_page

AUDIT, PAGE = "audit.json", "audit.html"


def write_audit_page(folder: Path) -> Path:
    """Write FOLDER/audit.html from FOLDER/audit.json and return its path.

    Raises DataError where there is no audit.json, StorageError where the page cannot be written.
    """
    require_folder(folder, (AUDIT,))
    remarks: list[str] = []
    found = read_object(folder / AUDIT, remarks)
    return write_page(folder / PAGE, render("audit.html.j2", {**audit_page(found), "remarks": remarks}))


def audit_page(found: Mapping[str, Any]) -> dict[str, Any]:
    """The content of audit.html.j2 from what audit.json holds."""
    findings = found.get("findings", [])
    counts = {harm: sum(f["harm"] == harm for f in findings) for harm in ("high", "medium", "low")}
    return {
        "title": f"Audit of {Path(str(found.get('data', ''))).name}",
        "headline": headline(counts),
        "tiles": _tiles(found, counts),
        "findings": [{**f, "interval": interval(f["figure"])} for f in findings],
        "plots": plots(found.get("plots", {})),
        "clusters": found.get("plots", {}).get("coverage", {}).get("clusters", []),
        "figures": [
            (_title(check), [(f["meaning"], interval(f), _of(f)) for f in figures.values()])
            for check, figures in found.get("figures", {}).items()
        ],
        "skipped": [(_title(check), reason) for check, reason in found.get("skipped", {}).items()],
        "reading": found.get("reading", {}),
        "seconds": found.get("seconds", 0),
        "percent": percent,
    }


def headline(counts: Mapping[str, int]) -> str:
    """One sentence on how bad it is."""
    if not sum(counts.values()):
        return "Every check is silent."
    said = [f"{count} of {harm} harm" for harm, count in counts.items() if count]
    return f"{sum(counts.values())} finding{'s' if sum(counts.values()) > 1 else ''}: {', '.join(said)}."


def plots(given: Mapping[str, Any]) -> list[Markup]:
    """A plot for each check that has one, in the order of the checks."""
    drawn = []
    if "difference" in given.get("length", {}):
        shown = given["length"]["difference"]
        drawn.append(histogram("Length: chosen less rejected", shown["edges"], shown["counts"], "words"))
    if "similarity" in given.get("near_identical", {}):
        shown = given["near_identical"]["similarity"]
        drawn.append(
            histogram("Similarity of the two answers", shown["edges"], shown["counts"], "share of words in common")
        )
    if "shares" in given.get("refusals", {}):
        drawn.append(bars("Refusals", given["refusals"]["shares"]))
    sizes = given.get("duplicates", {}).get("cluster_sizes", {})
    if sizes:
        total = sum(sizes.values())
        drawn.append(
            bars("Groups of duplicates by size", {f"{size} rows": n / total for size, n in list(sizes.items())[:8]})
        )
    languages = given.get("languages", {}).get("languages", {})
    if languages:
        total = sum(languages.values())
        drawn.append(bars("Languages of chosen answers", {code: n / total for code, n in list(languages.items())[:8]}))
    if given.get("dimensions", {}).get("conflicts"):
        drawn.append(bars("Dimensions that conflict", given["dimensions"]["conflicts"]))
    people = given.get("annotators", {}).get("annotators", [])
    if people:
        rows = {str(each["name"])[:24]: [(each["value"], each["low"], each["high"])] for each in people[:20]}
        drawn.append(intervals("Agreement with the other annotators", rows, ["share of votes"]))
    return drawn


def interval(figure: Mapping[str, Any]) -> str:
    """A share as a percentage with its interval, any other number as it is."""
    value, low, high = figure["value"], figure["low"], figure["high"]
    if not is_number(low) or not is_number(high):
        return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
    if figure["of"] is not None or (low >= 0 and high <= 1 and "kappa" not in figure["meaning"]):
        return f"{percent(value)} ({percent(low)} to {percent(high)})"
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _of(figure: Mapping[str, Any]) -> str:
    return "" if figure["count"] is None or figure["of"] is None else f"{figure['count']:,} of {figure['of']:,}"


def _title(check: str) -> str:
    try:
        return importlib.import_module(f"pairwright.audit.checks.{check}").TITLE
    except ModuleNotFoundError:  # a page made anew from the audit of another version
        return check.replace("_", " ")


def _tiles(found: Mapping[str, Any], counts: Mapping[str, int]) -> list[tuple[str, str, str]]:
    tiles = [
        (f"{found.get('rows', 0):,}", "pairs", f"{found.get('prompts', 0):,} distinct prompts"),
        (str(counts["high"]), "findings of high harm", f"{counts['medium']} medium, {counts['low']} low"),
    ]
    figures = found.get("figures", {})
    if wins := figures.get("length", {}).get("longest_wins"):
        tiles.append(
            (percent(wins["value"]), "longest answer wins", f"{percent(wins['low'])} to {percent(wins['high'])}")
        )
    if rate := figures.get("noise", {}).get("rate"):
        tiles.append((percent(rate["value"]), "labels flipped", f"{percent(rate['low'])} to {percent(rate['high'])}"))
    if alpha := figures.get("annotators", {}).get("krippendorff"):
        tiles.append((f"{alpha['value']:.2f}", "Krippendorff's alpha", f"{alpha['low']:.2f} to {alpha['high']:.2f}"))
    return tiles
