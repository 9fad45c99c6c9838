"""An audit in the terminal: what was read, the findings as a table, worst first, and what could not be checked."""

from collections.abc import Iterator
from typing import Any

from pairwright.audit import AuditResult
from pairwright.audit.findings import Figure

_COLOURS = {"high": "bold red", "medium": "yellow", "low": "cyan"}


def summary(result: AuditResult) -> Iterator[Any]:
    """Lines and tables, for a terminal of 80 columns."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    yield f"\n{result.data}: {result.rows:,} pairs, {result.prompts:,} distinct prompts"
    if result.findings:
        table = Table(box=SIMPLE, pad_edge=False, title_justify="left")
        table.add_column("harm", no_wrap=True)
        table.add_column("finding", ratio=1)
        table.add_column("filter drops", justify="right", no_wrap=True)
        for finding in result.findings:
            said = Text.assemble((finding.title, "bold"), "\n", finding.what, "\n")
            if finding.examples:
                said.append(f"line {', '.join(str(e.source.line) for e in finding.examples)}\n", "dim")
            drops = f"{len(finding.rows):,}" if len(finding.rows) else ""
            table.add_row(
                Text(finding.harm, _COLOURS[finding.harm]), said, f"{drops}\n{finding.check}" if drops else ""
            )
        yield table
    else:
        yield "\nNo findings: every check is silent.\n"
    silent = [name for name, checked in result.checks.items() if not checked.findings and not checked.skipped]
    if silent:
        yield f"silent: {', '.join(silent)}"
    for name, checked in result.checks.items():
        if checked.skipped:
            yield f"not checked: {name}: {checked.skipped}"
    if rate := result.figure("noise", "rate"):
        yield f"label noise: {_interval(rate)}"
    yield f"measured in {result.seconds:.1f} s\n"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3g}"
    return f"{100 * figure.value:.1f}% ({100 * figure.low:.1f} to {100 * figure.high:.1f})"
