"""Pairwright: align a language model from preference data, and see the evidence that it got better."""

__version__ = "0.1.0"
