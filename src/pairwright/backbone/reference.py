"""Reference log-probabilities, kept on disk by content.

A key stands for everything that decides the value: the starting weights (adapter included), precision, quantisation,
attention backend, token ids, supervised positions. So adding ten rows to a file computes ten, a changed model computes
all, and runs, sweeps and reorderings share what is there. Each sequence is written when its batch is done: a kill
loses one batch.

Left out: cleaning up. The file may be deleted at any time; what is missing is computed again.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers

from pairwright.backbone.load import Backbone
from pairwright.backbone.policy import logprobs
from pairwright.errors import NonFiniteError, StorageError
from pairwright.tokens import trie
from pairwright.tokens.batches import micro_batches
from pairwright.tokens.sequences import Example, TokenSequence

VERSION = 3
"""Raised when a change of ours changes log-probabilities: what older versions kept is then not used any more."""


def default_path() -> Path:
    """PAIRWRIGHT_CACHE, or the user's cache folder."""
    folder = os.environ.get("PAIRWRIGHT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "pairwright"
    return Path(folder).expanduser() / "reference.sqlite"


class Cache:
    """Per-token log-probabilities by content key, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(path, timeout=60)
            self.database.execute("PRAGMA journal_mode=WAL")
            self.database.execute(
                "CREATE TABLE IF NOT EXISTS logprobs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{path}: the reference cache cannot be opened ({error}); delete it, or set PAIRWRIGHT_CACHE"
            ) from error

    def get(self, key: bytes) -> np.ndarray | None:
        """The (scored tokens,) float32 values, or None."""
        try:
            row = self.database.execute("SELECT value FROM logprobs WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise StorageError(
                f"{self.path}: the reference cache cannot be read ({error}); delete it, or set PAIRWRIGHT_CACHE"
            ) from error
        return None if row is None else np.frombuffer(row[0], dtype=np.float32)

    def put(self, items: Sequence[tuple[bytes, np.ndarray]]) -> None:
        """Keep values; one that is there already stays, so that a run that is resumed finds what it started with."""
        try:
            with self.database:
                rows = [(key, value.astype(np.float32).tobytes()) for key, value in items]
                self.database.executemany("INSERT OR IGNORE INTO logprobs VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise StorageError(f"{self.path}: the reference cache cannot be written ({error})") from error

    def close(self) -> None:
        self.database.close()


def content_key(sequence: TokenSequence, backbone: Backbone) -> bytes:
    """SHA-256 of all that decides a sequence's reference log-probabilities."""
    digest = hashlib.sha256(
        f"{VERSION} {transformers.__version__} {backbone.digest} {backbone.dtype} {backbone.tuning == 'qlora'} "
        f"{backbone.backend} {backbone.device.type} {torch.__version__}".encode()
    )
    digest.update(sequence.ids.astype("<i8").tobytes())
    digest.update(np.packbits(sequence.supervised).tobytes())
    return digest.digest()


def sum_key(sequence: TokenSequence, backbone: Backbone) -> bytes:
    """The content key, with the weights where the sequence has some: the values do not depend on them, the sum does."""
    key = content_key(sequence, backbone)
    if sequence.weights is None:
        return key
    return hashlib.sha256(key + sequence.weights[sequence.supervised].astype("<f4").tobytes()).digest()


def _sum(values: np.ndarray, sequence: TokenSequence) -> float:
    """Over the (scored tokens,) values, by the sequence's weights."""
    if sequence.weights is None:
        return float(values.sum(dtype=np.float64))
    return float((values.astype(np.float64) * sequence.weights[sequence.supervised]).sum())


def reference_sums(
    backbone: Backbone,
    batches: Sequence[Sequence[Example]],
    tokens_per_batch: int,
    cache: Cache,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[bytes, float], int]:
    """Log-probability of every sequence under the backbone as it is now, which must be the reference.

    `batches` are the micro-batches that training and evaluation will compute, each of at most `tokens_per_batch`
    tokens. One of which nothing is known yet is computed as it stands: how a matrix product rounds depends on its size,
    and so an untouched policy has log-ratios of exactly 0. What is missing of the others is batched anew.

    Returns {sum_key: sum over the supervised tokens} and how many examples had to be computed.
    """
    sequences = {id(s): s for batch in batches for e in batch for s in e.sequences}
    key_of = {number: sum_key(s, backbone) for number, s in sequences.items()}
    known: dict[bytes, float] = {}
    for number, s in sequences.items():
        if key_of[number] not in known and (value := cache.get(content_key(s, backbone))) is not None:
            known[key_of[number]] = _sum(value, s)
    missing = [[e for e in batch if any(key_of[id(s)] not in known for s in e.sequences)] for batch in batches]
    computed = sum(map(len, missing))
    if progress:
        progress(sum(map(len, batches)) - computed)
    whole = [absent for absent, batch in zip(missing, batches) if len(absent) == len(batch)]
    rest = [e for absent, batch in zip(missing, batches) if len(absent) < len(batch) for e in absent]
    # Long ones together: under the plain path rows are padded to the longest of their batch.
    rest.sort(key=lambda e: -max(len(s.ids) for s in e.sequences))
    backbone.model.eval()
    for batch in [*whole, *micro_batches(rest, tokens_per_batch)]:
        computed_now = [s for example in batch for s in example.sequences]
        items = [(content_key(s, backbone), value) for s, value in zip(computed_now, _batch_values(backbone, batch))]
        cache.put(items)
        for s, (key, value) in zip(computed_now, items):
            kept = cache.get(key)  # another run's, where that was first: both go on with the same bits
            known[key_of[id(s)]] = _sum(value if kept is None else kept, s)
        if progress:
            progress(len(batch))
    backbone.model.train()
    return known, computed


@torch.no_grad()
def _batch_values(backbone: Backbone, batch: Sequence[Example]) -> list[np.ndarray]:
    built = trie.build(batch)
    values = logprobs(backbone, built).cpu().numpy()
    if not np.isfinite(values).all():
        # A NaN spreads to examples that share an attention block with its own: alone, each answers for itself.
        alone = (e for e in batch if not np.isfinite(logprobs(backbone, trie.build([e])).cpu().numpy()).all())
        raise NonFiniteError(
            f"the reference model gives NaN or infinity for {next(alone, batch[0]).source}: its weights are damaged, "
            f"or too large for {str(backbone.dtype).removeprefix('torch.')}"
        )
    return np.split(values, np.cumsum(built.lengths())[:-1])
