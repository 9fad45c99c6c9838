"""The model card: README.md of a run's folder, in the form that model hubs read (Markdown with a YAML head).

What it leaves out: samples (the report has them) and any judgement of what the model is fit for.
"""

import json
import re
from pathlib import Path
from typing import Any

from pairwright import __version__
from pairwright.reporting.run_files import Line, Run, last, read_object, read_run, require_folder
from pairwright.reporting.training import LOGS, settings
from pairwright.reporting.values import number, rows
from pairwright.reporting.writing import write_page

CARD = "README.md"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
RESULTS = (
    ("eval_loss", "loss, held out"),
    ("eval_rewards/accuracies", "pairs ranked right, held out"),
    ("eval_rewards/margins", "reward margin, held out"),
    ("eval_accuracy", "pairs ranked right, held out"),
    ("eval_margin", "margin of the scores, held out"),
    ("eval_score", "score of its answers, held out"),
    ("eval_kl", "divergence from the reference, held out (nats an answer)"),
    ("loss", "loss, last step of training"),
)


def model_card(run: Path) -> Path:
    """Write RUN/README.md and return its path.

    Raises DataError where the folder holds no training run, StorageError where the card cannot be written.
    """
    require_folder(run, LOGS)
    found = read_run(run)
    return write_page(run / CARD, _card(found, settings(found)))


def _card(run: Run, config: Line) -> str:
    method, model = str(config.get("method", "unknown")), str(config.get("model", "unknown"))
    adapter = (run.folder / "model" / "adapter_config.json").is_file()
    head = {"library_name": "peft" if adapter else "transformers", "tags": ["pairwright", method]}
    # Hubs take an id there, and refuse a card with a path.
    head |= {"base_model": model} if HUB_ID.fullmatch(model) and not Path(model).exists() else {}
    parts = [
        "---\n" + "".join(f"{name}: {json.dumps(value)}\n" for name, value in head.items()) + "---",
        f"# {_plain(run.folder.resolve().name)}",
        f"{_plain(model)}, trained by {_plain(method)} on {_plain(config.get('data', 'unknown data'))} "
        f"with Pairwright {__version__}. The folder `model` holds {'an adapter' if adapter else 'the weights'}.",
        "## Loading it",
        _loading(run.folder / "model", adapter, run.remarks),
        "## Results",
        _results(run),
        "## Data",
        _table(rows(run.data)) or "There are no counts of the data.",
        "## Settings",
        _table(rows(config) + _chosen(run)) or "config.json is missing.",
        "## Limits",
        "The held-out figures say how the model does on data like its training data, and nothing about other uses. "
        "What is wrong in the data, or in the base model, may be in this model too. "
        "`report.html` shows the curves and what the model said as training went on.",
    ]
    if run.remarks:
        parts += ["## Missing", "\n".join(f"- {_plain(remark)}" for remark in run.remarks)]
    return "\n\n".join(parts) + "\n"


def _chosen(run: Run) -> list[tuple[str, str]]:
    """What the run filled in where the settings left it open: the learning rate, the objective's own options."""
    chosen = run.config.get("chosen")
    if not isinstance(chosen, dict):
        return []
    options = chosen.get("options")
    used = {"learning rate, used": chosen.get("learning_rate"), **(options if isinstance(options, dict) else {})}
    return rows({name: value for name, value in used.items() if value is not None})


def _loading(folder: Path, adapter: bool, remarks: list[str]) -> str:
    """How to load the folder `model`, by what its own config says it is."""
    saved = read_object(folder / ("adapter_config.json" if adapter else "config.json"), remarks)
    kinds = saved.get("architectures") or []
    classifier = saved.get("task_type") == "SEQ_CLS" or any("SequenceClassification" in str(kind) for kind in kinds)
    kind = f"AutoModelFor{'SequenceClassification' if classifier else 'CausalLM'}"
    library, kind = ("peft", kind.replace("Auto", "AutoPeft", 1)) if adapter else ("transformers", kind)
    more = ", num_labels=1, pad_token_id=tokenizer.pad_token_id" if adapter and classifier else ""
    first = 'tokenizer = AutoTokenizer.from_pretrained("model")\n' if more else ""
    imports = f"from {library} import {kind}" + ("\nfrom transformers import AutoTokenizer" if more else "")
    return f'```python\n{imports}\n\n{first}model = {kind}.from_pretrained("model"{more})\n```'


def _results(run: Run) -> str:
    found = [(words, number(value)) for name, words in RESULTS if (value := last(run.metrics, name)) is not None]
    return _table(found) or "No metrics were logged."


def _table(found: list[tuple[str, str]]) -> str:
    if not found:
        return ""
    lines = [f"| {_plain(name)} | {_plain(value)} |" for name, value in found]
    return "\n".join(["| | |", "|---|---|", *lines])


def _plain(text: Any) -> str:
    """Text of a run's files as text: no Markdown, no HTML, one line."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(str(text).split()))
