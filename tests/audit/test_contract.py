"""What every audit check keeps. Runs over all files of audit/checks by itself: a new one needs a plant in plants.py.

Each finds its planted defect and names the spoilt rows; is silent on clean data; says the same twice; shows five
examples at most, by row; has its texts; and costs a row the same however many there are.
"""

import dataclasses
import inspect
import json

import numpy as np
import pytest
from tests.audit import plants

from pairwright.audit import names
from pairwright.audit.run import audit, measure, module, run_checks
from pairwright.audit.shares import EXAMPLES

NAMES = names()
ROWS = [name for name in NAMES if name not in ("coverage", "annotators", "length", "noise")]
"""Checks whose filter points at the very rows that were spoilt."""


@pytest.fixture(scope="module")
def planted():
    made = {}

    def make(name):
        if name not in made:
            plant = getattr(plants, name)()
            made[name] = plant, measure(plant.records, workers=1, **plant.given)
        return made[name]

    return make


@pytest.fixture(scope="module")
def healthy(planted):
    return run_checks(planted("healthy")[1])


@pytest.mark.parametrize("name", NAMES)
def test_finds_its_defect(name, planted):
    _, table = planted(name)
    findings = module(name).check(table).findings
    assert findings, f"{name} is silent"
    for finding in findings:
        assert finding.check == name
        assert len(finding.shown) <= EXAMPLES
        assert all(text.strip() for text in (finding.title, finding.what, finding.why, finding.source, finding.do))
        assert finding.figure.low is None or finding.figure.low <= finding.figure.value <= finding.figure.high
        assert (np.diff(finding.rows) > 0).all() and (len(finding.rows) == 0 or finding.rows[-1] < len(table))


@pytest.mark.parametrize("name", ROWS)
def test_names_the_spoilt_rows(name, planted):
    plant, table = planted(name)
    named = {int(row) for finding in module(name).check(table).findings for row in finding.rows}
    spoilt = set(plant.spoilt)
    assert len(named & spoilt) >= 0.9 * len(spoilt), "recall"
    assert len(named & spoilt) >= 0.9 * len(named), "precision"
    shown = {shown.row for finding in module(name).check(table).findings for shown in finding.shown}
    assert shown <= set(range(len(table)))


@pytest.mark.parametrize("name", NAMES)
def test_is_silent_on_clean_data(name, healthy):
    assert [finding.what for finding in healthy[name].findings] == []
    assert not healthy[name].skipped


@pytest.mark.parametrize("name", NAMES)
def test_says_the_same_twice(name, planted):
    _, table = planted(name)
    one, two = module(name).check(table), module(name).check(table)
    assert [f.as_dict() for f in one.findings] == [f.as_dict() for f in two.findings]
    assert one.figures == two.figures and one.plots == two.plots
    for first, second in zip(one.findings, two.findings):
        assert (first.rows == second.rows).all() and first.shown == second.shown


@pytest.mark.parametrize("name", NAMES)
def test_thresholds_are_fields_with_a_text(name):
    thresholds = module(name).Thresholds
    assert dataclasses.is_dataclass(thresholds) and dataclasses.fields(thresholds)
    parameter = inspect.signature(module(name).check).parameters["limits"]
    assert parameter.default == thresholds()
    assert module(name).TITLE and module(name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_is_json(name, planted):
    plant, _ = planted(name)
    result, _ = audit(plant.records[:200], data="x.jsonl", workers=1, **plant.given)
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["version"] == 1


def test_processes_and_chunks_change_nothing(planted, monkeypatch):
    plant, table = planted("duplicates")
    monkeypatch.setattr("pairwright.audit.run.CHUNK", 77)
    other = measure(plant.records, workers=2)
    assert (other.rows == table.rows).all() and (other.signatures == table.signatures).all()
    assert (other.sample.chosen != table.sample.chosen).nnz == 0 and other.sample.prompts == table.sample.prompts


def test_the_sample_is_bounded_and_the_same_however_it_is_cut(planted, monkeypatch):
    plant, _ = planted("duplicates")
    monkeypatch.setattr("pairwright.audit.run.SAMPLE", 100)
    one = measure(plant.records, workers=1)
    monkeypatch.setattr("pairwright.audit.run.CHUNK", 13)
    two = measure(plant.records, workers=1)
    assert 40 <= len(one.sample.rows) <= 100
    assert (one.sample.rows == two.sample.rows).all()
    assert one.sample.chosen.shape[0] == len(one.sample.rows) == len(one.sample.prompts)
