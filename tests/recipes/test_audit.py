"""`pairwright audit` as a whole: files in, audit.json, page and cleaned file out; every row accounted for."""

import json

import pytest

from pairwright.cli import main
from pairwright.errors import ConfigError
from pairwright.reading import read
from pairwright.recipes.audit import AuditConfig, chosen_filters, run_audit
from pairwright.records import Preference
from tests.audit import plants
from tests.audit.data import clean


def row(pair) -> dict:
    sides = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    return {name: [{"role": m.role, "content": m.content} for m in side] for name, side in sides.items()}


def write(path, records, extra=()):
    lines = [json.dumps(row(record), ensure_ascii=False) for record in records]
    for at, line in extra:
        lines.insert(at, line)
    path.write_text("".join(line + "\n" for line in lines))
    return path


@pytest.fixture
def spoilt(tmp_path):
    """Clean rows, 60 with marks of a template; line 3 blank, line 5 broken."""
    plant = plants.template()
    path = write(tmp_path / "pairs.jsonl", plant.records, [(2, ""), (4, "{broken")])
    return path, {record + (2 if record >= 3 else 1 if record >= 2 else 0) + 1 for record in plant.spoilt}


def test_finds_by_physical_line_and_accounts_for_every_row(spoilt, tmp_path):
    path, lines = spoilt
    out = tmp_path / "cleaned.jsonl"
    done = run_audit(AuditConfig(str(path), out=str(tmp_path / "audit"), clean=str(out)))
    found = json.loads((tmp_path / "audit" / "audit.json").read_text())
    (finding,) = found["findings"]
    assert (finding["check"], finding["drops"]) == ("template", 60)
    assert {example["line"] for example in finding["examples"]} <= lines and len(finding["examples"]) == 5
    assert all("Assistant:" in example["chosen"] for example in finding["examples"])
    assert done.cleaned.read == 602 and done.cleaned.kept == 540
    assert done.cleaned.dropped == {"template": 60, "blank line": 1, "unusable": 1}
    original = path.read_text().splitlines()
    kept = out.read_text().splitlines()
    assert kept == [line for number, line in enumerate(original, start=1) if line and number not in {5, *lines}]
    dropped = [json.loads(line) for line in (tmp_path / "cleaned.dropped.jsonl").read_text().splitlines()]
    assert {entry["line"] for entry in dropped} == {5, *lines}
    assert {entry["reason"] for entry in dropped if entry["line"] in lines} == {"template"}
    assert len(read(str(out), Preference).records) == 540


def test_text_of_models_stays_text_on_the_page(tmp_path):
    records = clean(60)
    evil = "Assistant: <script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = [row(record) for record in records]
    rows[3]["chosen"][0]["content"] = evil
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    done = run_audit(AuditConfig(str(path), out=str(tmp_path / "audit")))
    page = done.files["page"].read_text()
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def test_votes_and_rankings_are_read(tmp_path):
    rows = [
        {"prompt": f"Is it {n}?", "responses": [f"It is {n} and that is so.", f"No, it is not {n}, I say."]}
        | {"votes": [{"annotator": who, "choice": n % 2, "shown_order": [0, 1]} for who in ("ann", "bo")]}
        for n in range(60)
    ]
    rows.append(rows[0] | {"votes": [{"annotator": "ann", "choice": 0}, {"annotator": "bo", "choice": 1}]})
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    result = run_audit(AuditConfig(str(path), out=str(tmp_path / "audit"))).result
    assert (result.kind, result.rows, result.reading["ties"]) == ("votes", 60, 1)
    assert result.figure("annotators", "krippendorff").value > 0.9
    assert result.figure("annotators", "agreement").value == pytest.approx(60 / 61)
    assert result.figure("annotators", "first").value == pytest.approx(61 / 122)

    ranked = tmp_path / "ranked.jsonl"
    ranked.write_text(
        "".join(
            json.dumps({"prompt": f"Name {n}.", "completions": [f"b {n}.", f"a {n}!", f"c {n}?"], "scores": [2, 3, 1]})
            + "\n"
            for n in range(20)
        )
    )
    assert run_audit(AuditConfig(str(ranked), out=str(tmp_path / "ranked"))).result.rows == 20


def test_leakage_between_two_files(tmp_path):
    plant = plants.leakage()
    train, held = write(tmp_path / "a.jsonl", plant.records), write(tmp_path / "b.jsonl", plant.given["held_out"])
    result = run_audit(AuditConfig(str(train), held_out=str(held), out=str(tmp_path / "o"))).result
    assert result.figure("leakage", "leaked").count == 60
    assert "b.jsonl:1 stands in it" in result.findings[0].examples[0].note or result.findings[0].check == "leakage"


def test_command_line(spoilt, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["audit", "pairs.jsonl"]) == 0
    printed = capsys.readouterr().out
    assert "Marks of a template stand in the text" in printed and "not checked" in printed
    assert (tmp_path / "pairs-audit" / "audit.html").is_file()
    assert main(["audit"]) == 2
    assert main(["audit", "pairs.jsonl", "--filters", "nonsense"]) == 2
    assert main(["audit", "none.jsonl"]) == 3
    assert main(["audit", "pairs.jsonl", "--clean", "pairs.jsonl"]) == 2


def test_filters():
    assert chosen_filters("duplicates, template") == ["duplicates", "template"]
    assert "noise" in chosen_filters("all")
    with pytest.raises(ConfigError, match="lenght"):
        chosen_filters("lenght")
