"""The command line: parse, call a recipe, translate errors. Everything else is in the recipes, for Python too.

    pairwright train METHOD ...   one training run
    pairwright demo               the miniature, from data to report
    pairwright score              answers scored by a reward model
    pairwright methods            the objectives
    pairwright audit F            what is wrong with preference data
    pairwright convert IN OUT     another format
    pairwright report RUN         report.html and README.md of a run
    pairwright plan ...           memory, time and cost of a run
    pairwright advise [F]         which method, and why

Exit codes: 0; those of pairwright.errors; 2 for a wrong command; 130 after Ctrl-C; 1, with a traceback, for a defect.
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pairwright import __version__
from pairwright.commandline.output import complain, note, say
from pairwright.errors import ConfigError, PairwrightError, StorageError, TrainingError

HELP = ("-h", "--help")


@dataclass(frozen=True, slots=True)
class Command:
    usage: str
    """What comes after its name."""
    summary: str
    run: Callable[[Sequence[str]], None]


def main(argv: Sequence[str] | None = None) -> int:
    """The whole command; returns the exit code. `argv` is without the program's name, default the process's own."""
    words = sys.argv[1:] if argv is None else argv
    try:
        _dispatch(words)
        sys.stdout.flush()
    except PairwrightError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain("stopped by Ctrl-C.")
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        known = _translated(error)
        if known is not None:
            complain(str(known))
            return known.exit_code
        traceback.print_exc()
        complain("this is a defect in Pairwright, not in what you gave it: please report it with the lines above.")
        return 1
    return 0


def _dispatch(words: Sequence[str]) -> None:
    if not words or words[0] in HELP:
        say(_overview())
    elif words[0] in ("-V", "--version"):
        say(f"pairwright {__version__}")
    elif words[0] in COMMANDS:
        COMMANDS[words[0]].run(words[1:])
    else:
        from pairwright.commandline.settings import nearest

        raise ConfigError(f"There is no command {words[0]!r}.{nearest(words[0], COMMANDS)} See pairwright --help.")


def _overview() -> str:
    names = [f"{name} {command.usage}".strip() for name, command in COMMANDS.items()]
    width = max(map(len, names))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in zip(names, COMMANDS.values())]
    return "\n".join(
        [
            "usage: pairwright COMMAND ...",
            "",
            "Align a language model from preference data, and see the evidence that it got",
            "better.",
            "",
            *lines,
            "",
            "pairwright COMMAND --help says more; pairwright --version says which this is.",
        ]
    )


def _train(words: Sequence[str]) -> None:
    from pairwright.commandline.objectives import find, objectives, options_class

    if not words or words[0] in HELP:
        say("usage: pairwright train METHOD --model M --data F --out DIR ...\n")
        _methods(())
        return
    if words[0].startswith("-"):
        known = "|".join(objective.name for objective in objectives())
        raise ConfigError(f"The method comes first: pairwright train {known} {words[0]} ...")
    objective = find(words[0])

    from pairwright.commandline.flags import values
    from pairwright.commandline.settings import settings_of
    from pairwright.recipes.config import TrainConfig
    from pairwright.recipes.rlhf_config import RlhfConfig

    sampled = objective.input == "sampled"
    kind: type = RlhfConfig if sampled else TrainConfig
    groups = {
        objective.name: settings_of(options_class(objective.name)),
        "run": settings_of(kind, leave_out=("method", "options")),
    }
    given, notes = values(f"pairwright train {objective.name}", objective.summary, groups, words[1:], objective.name)
    for line in notes:
        note(line)
    config = kind(**given["run"], method=objective.name, options=given[objective.name])
    if sampled:
        from pairwright.recipes.rlhf import rlhf

        rlhf(config)
        return

    from pairwright.recipes.train import train

    train(config)


def _demo(words: Sequence[str]) -> None:
    from pairwright.commandline.settings import parse, settings_of
    from pairwright.recipes.demo import DemoConfig, demo

    text = "The miniature from data to report: base model, SFT, DPO, evaluation by the oracle on unseen requests."
    demo(DemoConfig(**parse("pairwright demo", text, {"demo": settings_of(DemoConfig)}, words)["demo"]))


def _audit(words: Sequence[str]) -> None:
    from pairwright.commandline.settings import parse, settings_of
    from pairwright.recipes.audit import AuditConfig, run_audit

    text = (
        "What is wrong with preference data: biases, duplicates, leakage, label noise ... with examples and remedies."
    )
    if words and not words[0].startswith("-"):
        words = ["--data", *words]
    elif not set(words) & set(HELP) and "--data" not in words:
        raise ConfigError("The data come first: pairwright audit FILE. See pairwright audit --help.")
    audited = run_audit(
        AuditConfig(**parse("pairwright audit", text, {"audit": settings_of(AuditConfig)}, words)["audit"])
    )

    from pairwright.reporting.audit_terminal import summary

    for part in summary(audited.result):
        say(part)
    for name, path in audited.files.items():
        say(f"{name:8} {path}")


def _convert(words: Sequence[str]) -> None:
    from pairwright.commandline.settings import parse, settings_of
    from pairwright.recipes.convert import ConvertConfig, convert

    text = "Write preference data in another format: trl, openai, hh, sharegpt-preference, vertex, labelled and others."
    if len(words) >= 2 and not any(word.startswith("-") for word in words[:2]):
        words = ["--data", words[0], "--out", words[1], *words[2:]]
    elif not set(words) & {*HELP, "--data"}:
        raise ConfigError("Two files come first: pairwright convert IN OUT --to FORMAT. See pairwright convert --help.")
    done = convert(
        ConvertConfig(**parse("pairwright convert", text, {"convert": settings_of(ConvertConfig)}, words)["convert"])
    )
    for line in done.lines:
        note(line)
    say(f"{done.path}: {done.written:,} rows")


def _score(words: Sequence[str]) -> None:
    from pairwright.commandline.settings import parse, settings_of
    from pairwright.recipes.score import ScoreConfig, score

    text = "Scores answers with a reward model: every row again as JSONL, with its scores."
    score(ScoreConfig(**parse("pairwright score", text, {"score": settings_of(ScoreConfig)}, words)["score"]))


def _methods(words: Sequence[str]) -> None:
    from pairwright.commandline.objectives import objectives

    if words and words[0] not in HELP:
        raise ConfigError(f"pairwright methods takes nothing more, and got {' '.join(words)}.")
    if words:
        say("usage: pairwright methods\n")
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("method", "data", "reference", "what it does"):
        table.add_column(heading, no_wrap=heading != "what it does")
    for objective in objectives():
        table.add_row(objective.name, objective.data, "yes" if objective.reference else "no", objective.summary)
    say(table)


def _report(words: Sequence[str]) -> None:
    if not words or words[0] in HELP:
        say("usage: pairwright report RUN\n")
        say("Writes RUN/report.html from its files; for a training run also the model card, RUN/README.md.")
        return
    if len(words) > 1:
        raise ConfigError(f"pairwright report takes one folder, not {len(words)}.")

    from pairwright.reporting import model_card, write_report

    run = Path(words[0])
    say(f"report      {write_report(run)}")
    if (run / "metrics.jsonl").is_file():
        say(f"model card  {model_card(run)}")


def _advise(words: Sequence[str]) -> None:
    from pairwright.commandline.advice import lines
    from pairwright.commandline.settings import parse, settings_of
    from pairwright.recipes.advise import AdviseConfig, run_advise

    text = "Which method fits your data, goal and card, with reasons and the command that starts it."
    if words and not words[0].startswith("-"):
        words = ["--data", *words]
    config = AdviseConfig(**parse("pairwright advise", text, {"advise": settings_of(AdviseConfig)}, words)["advise"])
    for line in lines(run_advise(config)):
        say(line)


def _plan(words: Sequence[str]) -> None:
    from pairwright.commandline.objectives import find
    from pairwright.commandline.plans import show
    from pairwright.commandline.settings import parse, settings_of
    from pairwright.planning.solve import ONLINE
    from pairwright.recipes.plan import PlanConfig, plan

    text = "Memory by part, time and cost of a run, by arithmetic: does it fit, and what is the nearest that does?"
    config = PlanConfig(**parse("pairwright plan", text, {"plan": settings_of(PlanConfig)}, words)["plan"])
    if config.method.replace("-", "_") not in ONLINE:
        config.method = find(config.method).name
    for shown in show(plan(config), explain=config.explain):
        say(shown)


def _translated(error: BaseException) -> PairwrightError | None:
    """The named error of a fault of the machine that may come up anywhere: a disk that is full, broken or closed to us,
    no memory on the device."""
    cause: BaseException | None = error
    while cause is not None:
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        # safetensors and pyarrow raise their own errors, with the system's words in them.
        if full or "No space left on device" in str(cause):
            path = getattr(cause, "filename", None)
            return StorageError(f"The disk is full{f' at {path}' if path else ''}: {cause}. Make room, then go on.")
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO):
            place = cause.filename or "a file"
            return StorageError(f"{place}: {os.strerror(cause.errno)}. Give another place, or mend this one.")
        if type(cause).__name__ == "OutOfMemoryError":
            return TrainingError(
                f"The device ran out of memory: {str(cause).partition('.')[0]}. "
                "Lower --tokens-per-batch or take --gradient-checkpointing on: beyond rounding neither changes the "
                "result, and a run may go on with them (--resume). Or begin anew with a lower --max-length, or with "
                "--tuning qlora."
            )
        cause = cause.__cause__ or cause.__context__
    return None


COMMANDS = {
    "train": Command("METHOD ...", "train a model: train dpo --model M --data F --out DIR", _train),
    "demo": Command("", "align the built-in miniature and write its report", _demo),
    "audit": Command("F", "find out what is wrong with preference data", _audit),
    "convert": Command("IN OUT ...", "write preference data in another format", _convert),
    "score": Command("", "score answers with a reward model", _score),
    "methods": Command("", "list the methods and the data that each takes", _methods),
    "advise": Command("[F] ...", "which method fits your data, goal and card, and why", _advise),
    "plan": Command("--model M ...", "memory, time and cost of a run, before it is started", _plan),
    "report": Command("RUN", "write report.html and the model card of a run", _report),
}
