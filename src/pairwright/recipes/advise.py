"""`pairwright advise`: which method, from the data's audit and a few answers. No torch."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pairwright.audit import AuditResult, audit
from pairwright.errors import ConfigError, FormatError
from pairwright.planning import hardware
from pairwright.planning.advise import Advice, advise
from pairwright.planning.rules import Data, Facts
from pairwright.planning.solve import ONLINE
from pairwright.reading import read
from pairwright.reading.recognition import Kind
from pairwright.recipes.display import Display
from pairwright.records import Demonstration, Preference, Ranking, Rating, Steps

OBJECTIVES = Path(__file__).parent.parent / "objectives"
KINDS: dict[Kind, Data] = {
    Preference: "pairs",
    Ranking: "rankings",
    Rating: "labelled",
    Steps: "steps",
    Demonstration: "demonstrations",
}
Answer = Literal["yes", "no", "unknown"]


@dataclass
class AdviseConfig:
    """What is known. What is left open is not weighed."""

    data: str | None = None
    """A file of examples, which is audited."""
    kind: Literal["none", "demonstrations", "labelled", "pairs", "rankings", "steps"] | None = None
    """Without a file: what the data is."""
    rows: int | None = None
    """Without a file: how many examples there are."""
    goal: Literal["style", "facts", "safety", "code", "dialogue"] = "style"
    """What the model shall learn."""
    gpu: str | None = None
    """The card: t4, l4, a100-40 ..."""
    model: str | None = None
    """The model, for the command line that is printed."""
    tuned: Answer = "unknown"
    """Whether the model answers already: fine-tuned on demonstrations or chats."""
    on_policy: Answer = "unknown"
    """Whether the answers are the model's own."""
    multi_turn: Answer = "unknown"
    """Whether conversations part before their last turn. Found from a file of messages."""
    verifiable: Answer = "unknown"
    """Whether a program can say if an answer is right."""
    reward_model: Answer = "unknown"
    """Whether there is a reward model that was checked on held-out pairs."""
    judge: Answer = "unknown"
    """Whether a stronger model may judge answers."""


@dataclass(frozen=True)
class Advised:
    facts: Facts
    advice: Advice
    command: str | None
    """Runs as it is where model and data were given; None where there is nothing to run in this version."""
    missing: str
    """Why there is no command, or what stands for what in it."""
    settings: tuple[str, ...]
    """Starting hyper-parameters."""


def run_advise(config: AdviseConfig, display: Display | None = None) -> Advised:
    """Raises DataError for a file that cannot be used, ConfigError for answers that exclude each other."""
    if config.data and (config.kind or config.rows is not None):
        raise ConfigError("--kind and --rows are for advice without a file; the file says both itself")
    facts = _from_file(config, display or Display()) if config.data else _asked(config)
    found = advise(facts)
    command, missing = _command(config, facts, found)
    return Advised(facts, found, command, missing, _settings(found, facts))


def _asked(config: AdviseConfig) -> Facts:
    return _with_answers(config, Facts(data=config.kind or "none", rows=config.rows or 0, goal=config.goal))


def _with_answers(config: AdviseConfig, facts: Facts) -> Facts:
    names = ("tuned", "on_policy", "verifiable", "reward_model", "judge", "multi_turn")
    answers = {n: getattr(config, n) == "yes" for n in names if getattr(config, n) != "unknown"}
    memory = hardware.find(config.gpu).memory if config.gpu else None
    return dataclasses.replace(facts, memory=memory, **answers)


def _from_file(config: AdviseConfig, display: Display) -> Facts:
    assert config.data is not None
    kind, records = _read(config.data)
    display.say(f"{config.data}: {len(records):,} {KINDS[kind]}")
    facts = Facts(data=KINDS[kind], rows=len(records), goal=config.goal)
    if kind is Preference:
        pairs = [record for record in records if isinstance(record, Preference)]
        with display.progress("auditing", len(pairs)) as advance:
            result, _ = audit(pairs, data=config.data, progress=lambda what, done: advance(done, {}))
        facts = from_audit(result, pairs, config)
    return _with_answers(config, facts)


def _read(path: str) -> tuple[Kind, Sequence[object]]:
    """The first kind that the file itself holds."""
    try:
        return Preference, read(path, Preference).records
    except FormatError as error:
        held = next((kind for kind in KINDS if kind in error.holds), None)
        if held is None:
            raise
        return held, read(path, held).records


def from_audit(result: AuditResult, pairs: Sequence[Preference], config: AdviseConfig) -> Facts:
    """What the audit measured, as facts."""

    def value(check: str, name: str) -> float | None:
        figure = result.figure(check, name)
        return None if figure is None else figure.value

    multi = [_parts_early(pair) for pair in pairs]
    return Facts(
        data="pairs",
        rows=result.rows,
        goal=config.goal,
        multi_turn=sum(multi) >= max(1, len(multi) // 10),
        noise=value("noise", "rate"),
        agreement=value("annotators", "agreement"),
        longest_wins=value("length", "longest_wins"),
        near_identical=value("near_identical", "near_identical"),
        rated=bool(pairs) and all(pair.rated for pair in pairs),
    )


def _parts_early(pair: Preference) -> bool:
    """More than one assistant turn after the two conversations part."""
    sides = (pair.chosen, pair.rejected)
    return any(not isinstance(s, str) and sum(m.role == "assistant" for m in s) > 1 for s in sides)


def exists(method: str) -> bool:
    return (OBJECTIVES / f"{method}.py").is_file()


def _command(config: AdviseConfig, facts: Facts, found: Advice) -> tuple[str | None, str]:
    method = found.rule.method
    if method is None:
        return None, "nothing is to be trained yet"
    if not exists(method):
        return None, f"this version has no {method}"
    options = "".join(f" --{name.replace('_', '-')} {value:g}" for name, value in found.rule.options.items())
    epochs = f" --epochs {found.rule.epochs:g}" if found.rule.epochs != 1 else ""
    model, data = config.model or "MODEL", config.data or "DATA"
    tuning = " --tuning qlora" if config.gpu and hardware.find(config.gpu).memory < 20 else ""
    reward = " --reward REWARD --sample-rows 32" if method in ONLINE else ""
    words = f"pairwright train {method} --model {model} --data {data} --out runs/{method}"
    stands = [name for name, given in (("MODEL", config.model), ("DATA", config.data)) if not given]
    if reward:
        stands.append("REWARD (a reward model's folder, or file.py:function)")
    size = f" --pairs-per-step {_batch(facts)}" if _batch(facts) != 8 and not reward else ""
    return words + reward + options + epochs + size + tuning, f"put yours for {', '.join(stands)}" if stands else ""


RATES = {"sft": (2e-4, 2e-5), "orpo": (5e-5, 5e-6), "ppo": (1e-5, 3e-6)}
"""Learning rates with adapters and in full, where they are not DPO's; a test holds them against the objectives."""


def _batch(facts: Facts) -> int:
    """Examples in a step: enough steps to learn from few rows, less noise with many."""
    return 32 if facts.rows >= 2_000 else 8


def _settings(found: Advice, facts: Facts) -> tuple[str, ...]:
    method = found.rule.method
    if method is None:
        return ()
    lora, full = RATES.get(method, (5e-6, 5e-7))
    options = [f"{name} {value:g}" for name, value in found.rule.options.items()]
    return (
        *options,
        f"learning rate {lora:g} with LoRA, {full:g} with every weight",
        f"epochs {found.rule.epochs:g}",
        "LoRA rank 16, alpha 32, all linear layers",
        f"{_batch(facts)} examples a step",
    )
