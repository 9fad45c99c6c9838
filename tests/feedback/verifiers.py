"""Verifier functions for test_verifier.py; they run in a process of their own."""

import os
import time


def words(prompts, completions, **columns):
    print("this must not get between the answers")
    return [len(text.split()) for text in completions]


def solution(completions, solution):
    return [float(right in said) for said, right in zip(completions, solution)]


def slow(completions):
    if len(completions) > 1:
        time.sleep(30)
    return [0.0] * len(completions)


def few(completions):
    return [1.0]


def text(completions):
    return ["good"] * len(completions)


def nan(completions):
    return [float("nan")] * len(completions)


def broken(completions):
    raise KeyError("no such key")


def dies(completions):
    os._exit(3)


def needs(completions, level):
    return level
