"""Pairwright: align a language model from preference data, and see the evidence that it got better.

    from pairwright import TrainConfig, train
    result = train(TrainConfig(model="path/or/hub-id", data="pairs.jsonl", out="runs/first", options={"beta": 0.1}))
    print(result.metrics["rewards/accuracies"])

Names are imported when they are first used, so that `import pairwright` stays fast.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "TrainConfig": "pairwright.recipes.config",
    "TrainResult": "pairwright.recipes.train",
    "train": "pairwright.recipes.train",
    "RlhfConfig": "pairwright.recipes.rlhf_config",
    "rlhf": "pairwright.recipes.rlhf",
    "demo": "pairwright.recipes.demo",
    "DemoConfig": "pairwright.recipes.demo",
    "AuditConfig": "pairwright.recipes.audit",
    "run_audit": "pairwright.recipes.audit",
    "write_report": "pairwright.reporting",
    "score": "pairwright.recipes.score",
    "ScoreConfig": "pairwright.recipes.score",
    "read": "pairwright.reading",
    "PairwrightError": "pairwright.errors",
}
__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'pairwright' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
