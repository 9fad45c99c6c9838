"""The documentation fails the build when it drifts: generated pages, links, one page a method, no machine's paths."""

import ast
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*$", re.MULTILINE)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
MACHINE_PATH = re.compile(r"(?<![\w./~-])/(?:work|root|home|tmp|Users|opt|mnt)/[\w.-]+")


def tracked_text_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = HEADING.findall(re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    broken = []
    for link in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(link)
    return broken


def objectives() -> list[str]:
    """Names of the files in objectives/ that define INPUT, read here without the package's own code."""
    names = []
    for path in sorted((ROOT / "src" / "pairwright" / "objectives").glob("*.py")):
        targets = [
            target.id
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        ]
        names += [path.stem] if "INPUT" in targets else []
    return names


def test_the_command_reference_is_what_the_generator_makes():
    specification = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generate)
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == generate.commands(), "run `make docs`"
    assert (DOCS / "audit" / "thresholds.md").read_text(encoding="utf-8") == generate.thresholds(), "run `make docs`"
    assert (DOCS / "choosing-a-method.md").read_text(encoding="utf-8") == generate.choosing(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title, with words\n")
    text = (
        "[a](page.md) [b](#a-title-with-words) [c](https://example.org/x) `[d](none.md)` [e](none.md) ![f](page.md#no)"
    )
    assert broken_links(page, text) == ["none.md", "page.md#no"]


def test_every_objective_has_a_page():
    missing = [name for name in objectives() if not (DOCS / "methods" / f"{name}.md").is_file()]
    assert missing == []


def test_every_method_page_has_an_objective():
    pages = {path.stem for path in (DOCS / "methods").glob("*.md")} - {"README"}
    assert pages - set(objectives()) == set()


def test_every_audit_check_has_a_page():
    from pairwright.audit import names

    assert {path.stem for path in (DOCS / "audit").glob("*.md")} - {"thresholds"} == set(names())


def test_every_metric_has_its_definition():
    """What monitors.py and step.py log, and the loop beside them, stands in a row of docs/metrics.md of its own."""
    import torch

    from pairwright.training.monitors import answer_metrics, labelled_metrics, pair_metrics, score_metrics

    one = torch.ones(1)
    logged = {*pair_metrics(one, one, one, one, (one, one)), *answer_metrics(one, one)}
    logged |= {*labelled_metrics(one, one, one > 0, one, one)}
    logged |= {*score_metrics(one, one, one, one, one)}
    logged |= {"step", "epoch", "loss", "grad_norm", "learning_rate", "tokens_computed", *sampled_metrics()}
    text = (DOCS / "metrics.md").read_text(encoding="utf-8").partition("## Times")[0]
    defined = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert set(defined) == logged


def sampled_metrics() -> set[str]:
    """What a run on sampled answers logs."""
    import torch

    from pairwright.feedback.generate import Generated
    from pairwright.training.online_metrics import rollout_metrics, value_metrics
    from pairwright.training.rollouts import Rollout
    from pairwright.training.updates import LOGGED

    one = torch.ones(1)
    answers = [[Generated((1,), (-1.0,), True)]]
    made = Rollout([], answers, [], one.long(), one, {"NAME": one}, one, one, one, (0.0, 0.0), 1)
    return {*rollout_metrics(made, 0.1), *value_metrics(one, one), *LOGGED}


def test_no_machine_paths():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in tracked_text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if (match := MACHINE_PATH.search(line)) and path != Path(__file__).resolve()
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("see /work" + "/main/x", True), ("'/tmp" + "/out'", True), ("../shared/data", False), ("docs/work/x", False)],
)
def test_what_a_machine_path_is(text, is_one):
    assert bool(MACHINE_PATH.search(text)) is is_one


def test_the_command_line_names_every_objective():
    from pairwright.commandline import objectives as commandline

    assert {"dpo", "sft"} <= set(objectives())
    assert [objective.name for objective in commandline.objectives()] == objectives()
