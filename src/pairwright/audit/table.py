"""The whole file as columns: what `measure` found, joined in the file's order, and what a check reads it by."""

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_matrix, vstack

from pairwright.audit.heldout import HeldOut
from pairwright.audit.measure import FEATURES, PERMUTATIONS, ROW, Measured
from pairwright.audit.votes import Item
from pairwright.records import Source


@dataclass(frozen=True, slots=True)
class Sample:
    """A random part of the rows, of which more is kept: all of them in small files, SAMPLE at most."""

    rows: np.ndarray
    """(s,) indices, ascending."""
    chosen: csr_matrix
    rejected: csr_matrix
    prompts: list[str]


@dataclass(frozen=True, slots=True)
class Table:
    rows: np.ndarray
    """(n,) of measure.ROW."""
    signatures: np.ndarray
    sample: Sample
    files: tuple[str, ...]
    held_out: HeldOut | None = None
    leaks: tuple[tuple[int, int, float], ...] = ()
    votes: tuple[Item, ...] = field(default=())
    """Items with the votes of annotators; empty where the data has none."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> np.ndarray:
        return self.rows[column]

    def sides(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The column of the chosen answers and that of the rejected ones."""
        return self.rows[f"chosen_{name}"], self.rows[f"rejected_{name}"]

    def source(self, row: int) -> Source:
        return Source(self.files[self.rows["file"][row]], int(self.rows["line"][row]))


def joined(parts: list[Measured], share: float, files: list[str], held_out: HeldOut | None, votes: list[Item]) -> Table:
    """The parts as one table; the sample is cut down to `share`, which a part may have exceeded."""
    from pairwright.audit.measure import sampled

    rows = np.concatenate([part.rows for part in parts]) if parts else np.zeros(0, dtype=ROW)
    taken = np.concatenate([part.sampled for part in parts]) if parts else np.zeros(0, dtype=np.int64)
    keep = np.isin(taken, sampled(0, len(rows), share))
    prompts = [prompt for part in parts for prompt in part.prompts]
    empty = csr_matrix((0, FEATURES), dtype=np.float32)
    chosen, rejected = (
        vstack([empty, *(getattr(part, side) for part in parts)], format="csr")[keep] for side in ("chosen", "rejected")
    )
    sample = Sample(taken[keep], chosen, rejected, [prompt for prompt, kept in zip(prompts, keep) if kept])
    signatures = (
        np.concatenate([part.signatures for part in parts]) if parts else np.zeros((0, PERMUTATIONS), dtype=np.uint32)
    )
    leaks = tuple(leak for part in parts for leak in part.leaks)
    return Table(rows, signatures, sample, tuple(files), held_out, leaks, tuple(votes))
