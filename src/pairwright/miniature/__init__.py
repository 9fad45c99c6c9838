"""The miniature: a complete alignment problem that two CPU cores solve in minutes, with the truth known.

    requests = make_requests(400, seed=0, split="train")     what users ask
    answers = demonstrate(requests, seed=0)                  imperfect demonstrators
    pairs = make_pairs(requests, [[Answer, Answer], ...])    the model's own samples, two for each request
    labelled = label(pairs, TEAM, seed=0)                    simulated annotators
    preferences(labelled), demonstrations(requests, answers) rows in TRL's formats
    score(request, text, ended)["gold"]                      the truth
    BASE_MODEL                                               folder of the shipped base model

Free of torch (base.py, which makes the base model, is not imported here). See docs/miniature.md.
"""

from pathlib import Path

from pairwright.miniature.annotators import TEAM, Annotator, Labelled, Pair, Vote, label, make_pairs
from pairwright.miniature.answers import BASE, DEMONSTRATOR, GOOD, Answer, Behaviour, demonstrate, reference
from pairwright.miniature.files import annotated, demonstrations, preferences, unpaired, write
from pairwright.miniature.oracle import DIMENSIONS, mean_scores, score
from pairwright.miniature.requests import Request, make_requests

BASE_MODEL = Path(__file__).parent / "base"
"""Folder of the base model that ships with the package, as transformers loads it."""

__all__ = [
    "BASE",
    "BASE_MODEL",
    "DEMONSTRATOR",
    "DIMENSIONS",
    "GOOD",
    "TEAM",
    "Annotator",
    "Answer",
    "Behaviour",
    "Labelled",
    "Pair",
    "Request",
    "Vote",
    "annotated",
    "demonstrate",
    "demonstrations",
    "label",
    "make_pairs",
    "make_requests",
    "mean_scores",
    "preferences",
    "reference",
    "score",
    "unpaired",
    "write",
]
