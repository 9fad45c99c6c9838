"""Reports: what a page says, what it must never do (load, run or hide anything), and what is said of missing parts."""

import errno
import html.parser
import json
import re

import pytest

from pairwright.errors import DataError, StorageError
from pairwright.evaluation.statistics import Interval
from pairwright.reporting import model_card, write_report
from pairwright.reporting.comparison import headline, spread
from pairwright.reporting.plots import Curve, curves, running_mean, tick
from pairwright.reporting.run_files import points, read_lines
from pairwright.reporting.values import duration, number, rows, signed, turns

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)>{{ 7 * 7 }} & $x_1$"


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def run(tmp_path):
    """A DPO run of three steps with two evaluations and samples at six steps."""
    folder = tmp_path / "my run"
    metrics = []
    for step, loss in enumerate((0.69, 0.6, 0.5), start=1):
        values = {"rewards/accuracies": 0.5, "rewards/chosen": 0.1, "rewards/rejected": -0.1, "num_tokens": 400}
        metrics.append({"step": step, "epoch": step / 3, "loss": loss, "grad_norm": 1.5, "odd": float(step), **values})
        if step != 2:
            metrics.append({"step": step, "eval_loss": loss + 0.1, "eval_rewards/accuracies": 0.25 * step})
    write_lines(folder / "metrics.jsonl", metrics)
    timings = [{"step": 1, "seconds": 40.0, "tokens": 900}, {"step": 2, "seconds": 35.0, "tokens": 600}]
    write_lines(folder / "timings.jsonl", timings)
    prompt = [{"role": "user", "content": "move the dentist"}]
    answers = [{"step": s, "prompt": prompt, "completion": f"Moved {s}.", "chosen": "Which day?"} for s in range(6)]
    write_lines(folder / "samples.jsonl", answers)
    config = {"model": "models/tiny", "data": "pairs.jsonl", "method": "dpo", "seed": 0, "options": {"beta": 0.1}}
    fingerprint = {"seed": 0, "data (tokens)": "abc"}
    beside = {"chosen": {"learning_rate": 5e-6}, "fingerprint": fingerprint, "versions": {"torch": "2.13.0"}}
    (folder / "config.json").write_text(json.dumps({"config": config, **beside}))
    reading = {"files": ["pairs.jsonl"], "read": 12, "kept": 10, "quarantined": 0, "dropped": {"identical": 2}}
    dropped = [{"source": "pairs.jsonl:7", "rule": "dropped_empty_answer"}]
    tokens = {"examples": 9, "counts": {"dropped_empty_answer": 1, "new_rule": 3}, "dropped": dropped, "notes": ["EOS"]}
    (folder / "data.json").write_text(json.dumps({"data": {"reading": reading, "tokens": tokens}}))
    return folder


@pytest.fixture
def demo(tmp_path):
    """Ten answers: DPO better in eight, the same in one, worse in one; correct was not measured for SFT."""
    folder = tmp_path / "demo"
    stages = {
        "base": {"gold": {"mean": 0.4, "low": 0.38, "high": 0.42}, "correct": {"mean": 0.5, "low": 0.4, "high": 0.6}},
        "sft": {"gold": {"mean": 0.6, "low": 0.57, "high": 0.63}},
        "dpo": {"gold": {"mean": 0.8, "low": 0.78, "high": 0.82}, "correct": {"mean": 0.7, "low": 0.6, "high": 0.8}},
    }
    about = {"seeds": [0, 1, 2], "interval": "95%, Student's t", "versions": {"torch": "2.13.0"}}
    folder.mkdir()
    (folder / "evaluation.json").write_text(json.dumps({**stages, "about": about}))
    gains = [0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.0, -0.2]
    answers = [
        {
            "request": [{"role": "user", "content": f"request {number}"}],
            "kind": "harmless",
            **{stage: f"{stage} answers {number}" for stage in stages},
            "gold": {"base": 0.4, "sft": 0.5, "dpo": 0.4 + gain},
        }
        for number, gain in enumerate(gains)
    ]
    write_lines(folder / "answers.jsonl", answers)
    for seed in (0, 1):
        write_lines(
            folder / f"seed-{seed}" / "dpo" / "metrics.jsonl", [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6}]
        )
    return folder


class Page(html.parser.HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.hidden = [], [], [], 0
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.hidden += tag == "style"

    def handle_endtag(self, tag):
        self.hidden -= tag == "style"

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def assert_harmless(page):
    """No scripts, no handlers, nothing that makes a browser ask for anything."""
    assert not {"script", "iframe", "img", "link", "object", "embed", "form", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert value.startswith(("#", "data:")), value
        if name == "style":
            assert not re.search(r"url\((?!#)", value), value
        if name == "http-equiv" and value == "Content-Security-Policy":
            policy = dict(page.attributes)["content"]
    assert "content" in dict(page.attributes) and policy is not None


# One training run


def test_the_page_of_a_run(run):
    page = page_of(run)
    assert_harmless(page)
    for words in (
        "DPO of models/tiny",
        "Trained by dpo on pairs.jsonl.",
        "0.6 loss, held out 0.79 at step 1",
        "75% pairs ranked right held out",
        "3 steps 1,200 answer tokens",
        "1 min 15 s in steps 20 tokens a second",
        "data: reading files pairs.jsonl read 12 kept 10 quarantined 0 dropped identical 2",
        "data: tokens examples 9 dropped 1 notes EOS",
        "dropped empty answer: an answer has no tokens of its own 1 new_rule 3",
        "pairs.jsonl:7 dropped_empty_answer",
        "chosen learning rate 5.00e-06 fingerprint data (tokens) abc versions torch 2.13.0",
        "options beta 0.1",
        "chosen in the data Which day?",
    ):
        assert words in page.text, words
    assert "Not in this report" not in page.text


def test_panels_of_a_run(run):
    """Loss, accuracy, rewards, gradient norm, and `odd`, which nothing here has heard of; counters get none."""
    labels = [value for name, value in page_of(run).attributes if name == "aria-label"]
    assert labels == [
        "Loss by step: training, held out",
        "Preference accuracy by step: training, held out",
        "Rewards by step: chosen, rejected",
        "Gradient norm by step: training",
        "odd by step: training",
    ]


def test_samples_show_first_and_last(run):
    """Four of six steps: 0, 2, 3, 5 (0, 1.67, 3.33 and 5, rounded)."""
    assert re.findall(r"step \d Moved \d\.", page_of(run).text) == [f"step {s} Moved {s}." for s in (0, 2, 3, 5)]


def test_model_text_stays_text(run):
    write_lines(run / "samples.jsonl", [{"step": 0, "prompt": ATTACK, "completion": ATTACK, "chosen": ATTACK}])
    write_lines(run / "metrics.jsonl", [{"step": 1, "loss": 0.5, ATTACK: 1.0}])
    config = {"model": ATTACK, "data": ATTACK, "method": ATTACK, ATTACK: ATTACK}
    (run / "config.json").write_text(json.dumps(config))
    (run / "data.json").write_text(json.dumps({ATTACK: {ATTACK: {ATTACK: ATTACK}}}))
    page = page_of(run)
    assert_harmless(page)
    assert page.text.count(ATTACK) >= 5


def test_a_lone_surrogate_is_shown_escaped(run):
    (run / "samples.jsonl").write_text('{"step": 0, "prompt": "p", "completion": "broken \\ud800 emoji"}\n')
    assert "broken \\ud800 emoji" in page_of(run).text


def test_missing_files_are_said(run):
    for name in ("config.json", "data.json", "samples.jsonl", "timings.jsonl"):
        (run / name).unlink()
    page = page_of(run)
    assert_harmless(page)
    for name in ("config.json", "data.json", "samples.jsonl", "timings.jsonl"):
        assert f"{name} is missing." in page.text
    assert "No samples were kept." in page.text and "There are no counts of the data." in page.text


def test_a_log_cut_by_a_kill_is_said(run):
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"step": 4, "lo')
    assert "metrics.jsonl, line 6, is not a whole JSON object and is left out." in page_of(run).text


def test_damaged_json_is_said(run):
    (run / "data.json").write_text("{")
    (run / "config.json").write_text("[]")
    text = page_of(run).text
    assert "data.json is no JSON" in text and "config.json holds no JSON object." in text


def test_the_same_files_make_the_same_page(run):
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_no_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        write_report(tmp_path / "none")
    with pytest.raises(DataError, match="holds no run"):
        write_report(tmp_path)


def test_a_page_that_cannot_be_written(run, monkeypatch):
    """The disk fills while the new page is written: the old one stays, no part is left, the error names it."""
    old = write_report(run).read_bytes()

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StorageError, match=r"report\.html could not be written \([\d,]+ bytes\): No space left"):
        write_report(run)
    assert (run / "report.html").read_bytes() == old
    assert not list(run.glob(".*tmp"))


# A comparison


def test_the_page_of_the_demo(demo):
    page = page_of(demo)
    assert_harmless(page)
    for words in (
        "The miniature, base → SFT → DPO",
        "Gold reward rose from 0.40 (base) to 0.80 (DPO), +0.40: SFT's interval lies clear above base's, and "
        "DPO's interval lies clear above SFT's.",
        "gold all dimensions together 0.40 0.38–0.42 0.60 0.57–0.63 0.80 0.78–0.82 +0.40",
        "correct the task's fields are right 0.50 0.40–0.60 - 0.70 0.60–0.80 +0.20",
        "Of 10 unseen requests of one seed, DPO answers 8 better than base, 1 as well and 1 worse.",
        "better (+0.50)",
        "worse (−0.20)",
        "they prove the machinery, and are no claim for large models",
        "DPO, 2 seeds over each other",
        "seeds 0, 1, 2",
        "versions torch 2.13.0",
        "There are no metrics of SFT",
    ):
        assert words in page.text, words


def test_changes_are_paired_by_seed(demo):
    """Gains 0.3, 0.4, 0.5 over seeds that differ much: mean 0.4, half width 4.302653 * 0.1/sqrt(3) = 0.2484."""
    evaluation = json.loads((demo / "evaluation.json").read_text())
    gold = {"base": [0.1, 0.3, 0.5], "dpo": [0.4, 0.7, 1.0]}
    evaluation["per_seed"] = {stage: [{"gold": value} for value in values] for stage, values in gold.items()}
    (demo / "evaluation.json").write_text(json.dumps(evaluation))
    text = page_of(demo).text
    assert "to 0.80 (DPO), +0.40 (+0.15 to +0.65): SFT's" in text
    assert "+0.40 +0.15 to +0.65 correct" in text


def test_answers_are_spread_from_best_to_worst(demo):
    """Eight of ten by rank: 0, 1.29, 2.57, 3.86, 5.14, 6.43, 7.71 and 9, rounded."""
    shown = re.findall(r"user request (\d)", page_of(demo).text)
    assert shown == ["0", "1", "3", "4", "5", "6", "8", "9"]


def test_answers_without_scores_are_left_out():
    good = {"gold": {"base": 0.1, "dpo": 0.2}}
    assert spread([{"gold": {"base": 0.1}}, {}, good], ["base", "dpo"]) == [good]


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ([(0.4, 0.3, 0.5), (0.45, 0.35, 0.55)], "went from 0.40 (base) to 0.45 (DPO), +0.05: the intervals overlap"),
        ([(0.4, 0.3, 0.5), (0.2, 0.1, 0.29)], "fell from 0.40 (base) to 0.20 (DPO), −0.20."),
        ([(0.4, 0.3, 0.5), (0.6, 0.51, 0.7)], "rose from 0.40 (base) to 0.60 (DPO), +0.20"),
        ([None, (0.6, 0.51, 0.7)], "no figures"),
        ([], "no figures"),
    ],
)
def test_the_headline_claims_what_intervals_carry(gold, said):
    assert said in headline(["base", "DPO"], gold)


def test_the_headline_takes_the_paired_interval():
    """Seeds that differ more than stages do make single intervals overlap; the difference within each seed does not."""
    gold = [(0.4, 0.3, 0.5), (0.45, 0.35, 0.55)]
    assert "rose from 0.40" in headline(["base", "DPO"], gold, Interval(0.05, 0.04, 0.06))
    assert "overlap" in headline(["base", "DPO"], gold, Interval(0.05, -0.01, 0.11))
    assert "fell from 0.45" in headline(["base", "DPO"], gold[::-1], Interval(-0.05, -0.06, -0.04))


def test_the_headline_names_a_step_that_is_not_clear():
    text = headline(["base", "SFT", "DPO"], [(0.4, 0.39, 0.41), (0.6, 0.5, 0.7), (0.65, 0.6, 0.7)])
    assert "SFT's interval lies clear above base's, and DPO's interval is not clear of SFT's." in text


def test_attacks_in_the_demo(demo):
    write_lines(demo / "answers.jsonl", [
        {"request": ATTACK, "kind": ATTACK, "base": ATTACK, "sft": ATTACK, "dpo": ATTACK,
         "gold": {"base": 0, "sft": 0, "dpo": 1}}
    ])  # fmt: skip
    page = page_of(demo)
    assert_harmless(page)
    assert page.text.count(ATTACK) == 5


def test_a_demo_with_nothing_but_its_base(tmp_path):
    (tmp_path / "evaluation.json").write_text(json.dumps({"base": {"gold": {"mean": 0.4, "low": 0.3, "high": 0.5}}}))
    text = page_of(tmp_path).text
    assert "There are no figures for gold reward before and after." in text
    assert "evaluation.json has no figures for DPO." in text and "answers.jsonl is missing." in text


def test_evaluation_of_a_single_run_is_no_comparison(run):
    (run / "evaluation.json").write_text('{"eval_loss": 0.5}')
    assert "DPO of models/tiny" in page_of(run).text


# The model card


def test_the_model_card(run):
    (run / "model").mkdir()
    (run / "model" / "adapter_config.json").write_text("{}")
    text = model_card(run).read_text()
    assert text.startswith('---\nlibrary_name: "peft"\ntags: ["pairwright", "dpo"]\nbase_model: "models/tiny"\n---\n')
    assert 'AutoPeftModelForCausalLM.from_pretrained("model")' in text
    assert "| loss, held out | 0.6 |" in text and "| pairs ranked right, held out | 0.75 |" in text
    assert "| data reading dropped identical | 2 |" in text and "# my run" in text


def test_the_model_card_of_full_weights(run):
    assert 'AutoModelForCausalLM.from_pretrained("model")' in model_card(run).read_text()


@pytest.mark.parametrize("model", [".", "/some/folder", "a\n---\nb", "tiny"])
def test_the_model_card_names_hub_ids_only(run, model):
    (run / "config.json").write_text(json.dumps({"model": model, "method": "dpo"}))
    assert "base_model" not in model_card(run).read_text()


def test_the_model_card_escapes(run):
    (run / "config.json").write_text(json.dumps({"model": "a\n---\n# b <b> | [x](y)", "data": "d", "method": "dpo"}))
    assert "a --- \\# b \\<b\\> \\| \\[x\\](y), trained by dpo" in model_card(run).read_text()


def test_the_model_card_escapes_the_method_and_names_what_was_chosen(run):
    settings = {"model": "m", "data": "d", "method": "*dpo*"}
    chosen = {"learning_rate": 5e-06, "options": {"beta": 0.1}}
    (run / "config.json").write_text(json.dumps({"config": settings, "chosen": chosen}))
    text = model_card(run).read_text()
    assert "trained by \\*dpo\\* on" in text
    assert "| learning rate, used | " in text and "| beta | 0.1 |" in text


# Parts


def test_points_leave_out_what_cannot_be_drawn():
    lines = [{"step": 1, "a": 2}, {"step": 2}, {"step": 3, "a": float("nan")}, {"a": 1.0}, {"step": 4, "a": True}]
    assert points(lines, "a") == [(1.0, 2.0)]


def test_lines_are_split_at_newlines_only(tmp_path):
    """U+2028 is a line end for str.splitlines, and a character of a string in JSON."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": "x\u2028y"}\r\n\n{"a": 2}', encoding="utf-8")
    remarks = []
    assert read_lines(path, remarks) == [{"a": "x\u2028y"}, {"a": 2}]
    assert remarks == []


def test_running_mean():
    """Width 2 over 1, 3, 5, 9: 1, (1+3)/2, (3+5)/2, (5+9)/2."""
    assert running_mean([1, 3, 5, 9], 2) == [1, 2, 4, 7]


def test_plots_share_no_ids():
    one, two = (curves(title, [Curve("a", [[(1, 1.0), (2, 2.0)]], 0)]) for title in ("One", "Two"))
    ids = [set(re.findall(r'\bid="([^"]+)"', plot)) for plot in (one, two)]
    assert ids[0] and not ids[0] & ids[1]
    for plot, own in zip((one, two), ids):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', plot)) <= own
    assert "#0000" not in one and "var(--series-0)" in one


def test_a_long_line_gets_its_running_mean():
    long = [(float(step), float(step % 2)) for step in range(100)]
    assert curves("t", [Curve("a", [long], 0)]).count("var(--series-0)") > curves(
        "t", [Curve("a", [long[:50]], 0)]
    ).count("var(--series-0)")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.69314718, "0.6931"),
        (1234567, "1,234,567"),
        (5e-7, "5.00e-07"),
        (True, "yes"),
        (None, "-"),
        (0.0, "0"),
        ("x", "x"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.125, "+0.12"), (-0.2, "−0.20"), (0.001, "0.00"), (-0.001, "0.00")])
def test_differences(value, text):
    assert signed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.4, "41 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (59.6, "1 min 0 s")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_rows_of_nested_settings():
    value = {"a": 1, "b_c": {"d": [1, 2], "e": None, "f": {}}, "g": {}, "h": False}
    assert rows(value) == [("a", "1"), ("b c d", "1, 2"), ("h", "no")]


def test_turns():
    assert turns("<s>\n\nHuman: hello\n \n\nAssistant:\n") == [("", "<s>\nHuman: hello\nAssistant:")]
    assert turns([{"role": "user", "content": "hi"}]) == [("user", "hi")]


def test_ticks_hold_their_whole_number():
    """matplotlib's common factor above the axis would stand in the legend."""
    values = (0.0, 0.25, 2.5e-6, -1500.0, 2e6, 0.1 + 0.2)
    assert [tick(value) for value in values] == ["0", "0.25", "2.5e−6", "−1500", "2e6", "0.3"]
    drawn = curves("Learning rate", [Curve("a", [[(1, 2.5e-6), (2, 5e-6)]], 0), Curve("b", [[(1, 1e-6)]], 1)])
    assert "5e−6" in drawn and "1e−6</text>" in drawn
