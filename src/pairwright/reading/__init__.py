"""Files and hub data sets to records. `read` is the way in; every row that it meets is accounted for."""

from pairwright.reading.quarantine import Quarantined
from pairwright.reading.reader import ReadReport, read, rows_of, stream

__all__ = ["Quarantined", "ReadReport", "read", "rows_of", "stream"]
