"""From the files of a run to what people read: one HTML page, the model card. Reads files only; computes no model."""

from pairwright.reporting.audit import write_audit_page
from pairwright.reporting.card import model_card
from pairwright.reporting.page import write_report

__all__ = ["model_card", "write_audit_page", "write_report"]
