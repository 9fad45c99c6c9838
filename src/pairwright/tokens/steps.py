"""Solutions in steps: the text of one step preference, and the solutions that the step preferences belong to.

A step is scored as what comes next after the prompt and the steps before it. It has no end token: as a rule the answer
goes on (Step-DPO appends none either, 2406.18629). The preferences of one solution repeat its steps; gathered into one
example they share a trie, in which every step is computed once, however many come after it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from pairwright.records import Source, Steps
from pairwright.tokens.rules import Unusable
from pairwright.tokens.sequences import Example, Pair
from pairwright.tokens.truncate import Conversation
from pairwright.tokens.turns import Draft, Side, Style, rendered


def from_steps(record: Steps, parts: Conversation | None, style: Style) -> Draft:
    """The sides of a step preference; `parts` where it holds messages. Raises Unusable where the template changes the
    steps."""
    draft = Draft([])
    for number, step in enumerate((record.chosen, record.rejected)):
        if parts is None:
            assert isinstance(record.prompt, str)
            before, text = record.prompt + record.before, record.prompt + record.before + step
        else:
            before, text = _cut(*rendered(record, parts, number, style, draft), record.before, step)
        if style.special.pattern.search(record.before + step):
            draft.rules.add("special_token_text")
        draft.sides.append(Side(before, text, ((len(before), len(text)),), ended=False))
    return draft


def _cut(whole: str, opening: int, before: str, step: str) -> tuple[str, str]:
    """The rendered conversation through the steps before, and through this one. White space at the ends of the answer
    may be gone: templates strip it."""
    content = before + step
    bare = content.strip()
    at = whole.find(bare, opening)
    if at < 0:
        raise Unusable("dropped_template_refused", "the template changes the text of the steps")
    lead = len(content) - len(content.lstrip())
    border = at + max(0, len(before) - lead) if before else opening
    end, tail = at + len(bare), content[lead + len(bare) :]
    return whole[:border], whole[:end] + (tail if whole.startswith(tail, end) else "")


def gather(records: Sequence[Steps], examples: Sequence[Example]) -> tuple[list[Example], list[str]]:
    """One example for each solution, with all its step preferences, wherever in the file they stood; and the prompt of
    each, as text.

    A preference belongs to a solution when the steps before it are the beginning of that solution's longest known text.
    It counts as one example and keeps its weight. `records` are those of the examples, found by their source.
    """
    by_source = {record.source: record for record in records}
    solutions: dict[str, list[list[tuple[Steps, Example]]]] = defaultdict(list)
    rows = [(by_source[example.source], example) for example in examples]
    for record, example in sorted(rows, key=lambda row: -len(row[0].before)):
        known = solutions[repr((record.prompt, record.tools, record.template_kwargs))]
        for solution in known:
            longest = solution[0][0]
            if (longest.before + longest.chosen).startswith(record.before):
                solution.append((record, example))
                break
        else:
            known.append([(record, example)])
    found = [(_solution([example for _, example in reversed(s)]), key) for key, some in solutions.items() for s in some]
    place: dict[Source, int] = {example.source: number for number, example in enumerate(examples)}
    found.sort(key=lambda item: place[item[0].source])
    return [example for example, _ in found], [key for _, key in found]


def _solution(examples: Sequence[Example]) -> Example:
    """Those of one solution, the first steps first."""
    number = len(examples)
    mean = sum(example.weight for example in examples) / number
    return replace(
        examples[0],
        sequences=tuple(s for example in examples for s in example.sequences),
        weight=mean,
        pairs=tuple(Pair(2 * i, 2 * i + 1, weight=e.weight if mean else 1.0) for i, e in enumerate(examples)),
        counts_as=number,
    )
