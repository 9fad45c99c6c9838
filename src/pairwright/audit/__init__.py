"""What is wrong with preference data, before anything is trained on it. Reads records, changes nothing, needs no torch.

    result, table = audit(records)            records: Preference, from pairwright.reading
    result.findings                           worst first
    result.figure("length", "longest_wins")   a number with its interval, whether it is a finding or not

Each check is a file in checks/ with `check(table) -> Checked` and `Thresholds`; docs/audit.md lists them.
"""

from pairwright.audit.findings import AuditResult, Checked, Example, Figure, Finding
from pairwright.audit.run import audit, names

__all__ = ["AuditResult", "Checked", "Example", "Figure", "Finding", "audit", "names"]
