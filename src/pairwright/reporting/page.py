"""One self-contained HTML page from a run's folder: of one training run, or of a comparison such as the demo's.

The page asks for nothing outside itself and runs no script; its policy (a meta tag) forbids both, so that text written
by a model stays text even where escaping were to fail.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pairwright import __version__
from pairwright.reporting.comparison import EVALUATION, comparison_page
from pairwright.reporting.run_files import require_folder
from pairwright.reporting.training import LOGS, training_page
from pairwright.reporting.writing import write_page

REPORT = "report.html"


def write_report(run: Path) -> Path:
    """Write RUN/report.html and return its path.

    A folder with evaluation.json that has a `base` to compare with gets the page of a comparison, any other that of a
    training run. Raises DataError where the folder holds no run, StorageError where the page cannot be written. What is
    missing is said in the page.
    """
    require_folder(run, (EVALUATION, *LOGS))
    comparison = comparison_page(run)
    if comparison is not None:
        html = render("comparison.html.j2", comparison)
    else:
        html = render("training.html.j2", training_page(run))
    return write_page(run / REPORT, html)


def render(template: str, content: dict[str, Any]) -> str:
    """A template of this folder, filled; whatever is not Markup is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=__version__, **content)
