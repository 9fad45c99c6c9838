"""The named errors of Pairwright. The library raises them; only the command line turns them into messages.

    PairwrightError            exit code 1
    |-- ConfigError            2   a setting that cannot be meant, or two that exclude each other
    |-- DataError              3   a file or a row that cannot be used
    |   `-- FormatError        3   the columns fit no format, or more than one
    |-- ModelError             4   a model folder that cannot be loaded or does not fit its tokenizer
    |-- MissingExtraError      5   an optional package is needed and not installed
    |-- TrainingError          6   a run that had to stop
    |   |-- NonFiniteError     6   NaN or infinity in loss, gradient or weights
    |   |-- SpikeError         6   a loss, gradient or reward far beyond those of the steps before
    |   `-- ParityError        6   the fast path and the plain path disagree
    |-- CheckpointError        7   no usable checkpoint, or one that belongs to another run
    |-- StorageError           8   the disk is full or not writable
    `-- Interrupted          130, 143   Ctrl-C or SIGTERM asked the run to stop, and it saved before stopping

A message says what was found, where (file, line, value), and what to do.
"""


class PairwrightError(Exception):
    """Base of all errors that a user can cause or mend."""

    exit_code = 1


class ConfigError(PairwrightError):
    exit_code = 2


class DataError(PairwrightError):
    exit_code = 3


class FormatError(DataError):
    def __init__(self, message: str, holds: tuple[type, ...] = ()) -> None:
        super().__init__(message)
        self.holds = holds
        """Kinds of records that the data could be read as, where it is of the wrong kind."""


class ModelError(PairwrightError):
    exit_code = 4


class MissingExtraError(PairwrightError):
    exit_code = 5


class TrainingError(PairwrightError):
    exit_code = 6


class NonFiniteError(TrainingError):
    pass


class SpikeError(TrainingError):
    pass


class ParityError(TrainingError):
    pass


class CheckpointError(PairwrightError):
    exit_code = 7


class StorageError(PairwrightError):
    exit_code = 8


class Interrupted(PairwrightError):
    exit_code = 143

    def __init__(self, message: str, signal: int = 15) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal  # what shells give a program that the signal ended
