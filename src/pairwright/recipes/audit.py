"""`pairwright audit F`: reads preference data, runs every check, says what it found, and writes a cleaned file on
request.

Wiring only: the checks are in audit/, the page in reporting/. Nothing is changed but the files that are asked for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pairwright.audit import AuditResult, audit, names
from pairwright.audit.findings import Example, Finding
from pairwright.audit.table import Table
from pairwright.audit.text import excerpt, plain, spoken
from pairwright.audit.votes import Item, as_pair
from pairwright.errors import ConfigError, StorageError
from pairwright.reading import stream
from pairwright.recipes.clean import Cleaned, clean
from pairwright.recipes.display import Display
from pairwright.records import Preference, Ranking
from pairwright.reporting.audit import write_audit_page

FAULTS = "contradictions,duplicates,endings,languages,leakage,template"
"""Filters whose rows are faulty whatever the data is for."""


@dataclass
class AuditConfig:
    """One audit."""

    data: str
    """A file, a folder of files, or the hub id of a data set: pairs, or votes of annotators on pairs."""
    held_out: str | None = None
    """A second file, to find its items in the first: leakage."""
    out: str | None = None
    """Folder for audit.json and audit.html. Default: NAME-audit in the current folder."""
    clean: str | None = None
    """A .jsonl file to write the rows to that no chosen filter drops; what was dropped stands beside it."""
    filters: str = FAULTS
    """Checks whose rows --clean drops, separated by commas; `all` for every one."""
    format: str | None = None
    """Format of the data, where it should not be recognised from the columns."""
    split: str = "train"
    """Split of a hub data set."""
    workers: int | None = None
    """Processes. Default: as many as there are cores."""


@dataclass(frozen=True, slots=True)
class Audited:
    result: AuditResult
    files: Mapping[str, Path]
    """What was written, by what it is."""
    cleaned: Cleaned | None


def run_audit(config: AuditConfig) -> Audited:
    """Audits the data and writes audit.json, audit.html and the cleaned file.

    Raises DataError or FormatError for data that cannot be used, ConfigError for unknown filters or a `clean` that
    exists, StorageError where a file cannot be written.
    """
    filters = chosen_filters(config.filters)
    if config.clean:
        _may_write(Path(config.clean))
    display = Display()
    report, records = stream(config.data, Ranking, format=config.format, split=config.split)
    votes: list[Item] = []
    held_out = None
    if config.held_out:
        _, others = stream(config.held_out, Ranking, format=config.format, split=config.split)
        held_out = _pairs(others, [], [])
    ties: list[int] = []
    with display.progress("auditing", _expected(config.data)) as advance:
        result, table = audit(
            _pairs(records, votes, ties),
            data=config.data,
            held_out=held_out,
            votes=votes,
            workers=config.workers,
            progress=lambda what, done: advance(done, {}),
        )
    for line in [*report.lines(), *([f"{len(ties):,} of them prefer no answer: not audited"] if ties else [])]:
        display.say(line)
    result = replace(result, reading=report.summary() | {"ties": len(ties)})
    texts = _texts(config, {shown.row for finding in result.findings for shown in finding.shown}, table)
    result = replace(result, findings=tuple(_with_texts(f, texts, table) for f in result.findings))
    folder = Path(config.out) if config.out else Path(f"{_stem(config.data)}-audit")
    written = _write_json(folder / "audit.json", result.as_dict())
    files, cleaned = {"audit": written, "page": write_audit_page(folder)}, None
    if config.clean:
        dropped = {name: [table.source(row) for row in rows] for name, rows in _dropped(result, filters).items()}
        cleaned = clean(config.data, Path(config.clean), dropped, split=config.split, report=report)
        display.say(cleaned.line())
        files["cleaned"] = cleaned.path
        if cleaned.dropped_path:
            files["dropped"] = cleaned.dropped_path
    return Audited(result, files, cleaned)


def chosen_filters(written: str) -> list[str]:
    """Names of checks from a list separated by commas. ConfigError for one that there is not."""
    known = names()
    asked = known if written == "all" else [name.strip() for name in written.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise ConfigError(f"--filters: there is no check {name!r}. Known: {', '.join(known)}, or all.")
    return asked


def _dropped(result: AuditResult, filters: list[str]) -> dict[str, list[int]]:
    found: dict[str, set[int]] = {}
    for finding in result.findings:
        if finding.check in filters and len(finding.rows):
            found.setdefault(finding.check, set()).update(finding.rows.tolist())
    return {name: sorted(found[name]) for name in filters if name in found}


def _pairs(records: Iterable[Preference | Ranking], votes: list[Item], ties: list[int]) -> Iterator[Preference]:
    """The records as pairs; votes and lines of ties go into the lists on the way."""
    for record in records:
        if record.votes:
            votes.append(Item(record.source, record.votes))
        pair = as_pair(record)
        if pair is None:
            ties.append(record.source.line)
        else:
            yield pair


def _expected(data: str) -> int:
    """Rows to expect, for the progress bar: lines of a file of lines, told from its beginning; 0 where nobody knows."""
    path = Path(data)
    if not path.is_file() or path.suffix != ".jsonl":
        return 0
    with path.open("rb") as file:
        head = file.read(1 << 20)
    lines = head.count(b"\n")
    return max(1, round(lines * path.stat().st_size / max(1, len(head)))) if lines else 1


def _texts(config: AuditConfig, rows: set[int], table: Table) -> dict[int, tuple[str, str, str]]:
    """Prompt, chosen and rejected of the rows, read once more: no texts were kept."""
    wanted = {(source.file, source.line): row for row in rows for source in [table.source(row)]}
    _, records = stream(config.data, Ranking, format=config.format, split=config.split)
    found = {}
    for pair in _pairs(records, [], []):
        if not wanted:
            break
        if (row := wanted.pop((pair.source.file, pair.source.line), None)) is not None:
            found[row] = (excerpt(plain(pair.prompt)), excerpt(spoken(pair.chosen)), excerpt(spoken(pair.rejected)))
    return found


def _with_texts(finding: Finding, texts: Mapping[int, tuple[str, str, str]], table: Table) -> Finding:
    """The finding with its examples' texts."""
    examples = tuple(Example(table.source(shown.row), shown.note, *texts[shown.row]) for shown in finding.shown)
    return replace(finding, examples=examples)


def _stem(data: str) -> str:
    name = Path(data).name or "data"
    for suffix in (".gz", ".jsonl", ".json", ".csv", ".parquet"):
        name = name.removesuffix(suffix)
    return name


def _may_write(path: Path) -> None:
    if path.suffix != ".jsonl":
        raise ConfigError(f"--clean {path}: the cleaned file is JSON lines; give it a name that ends in .jsonl.")
    if path.exists():
        raise ConfigError(f"--clean {path}: exists, and is not overwritten. Give another name.")


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_bytes(text.encode("utf-8", "backslashreplace"))
        part.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}).") from error
    return path
