"""Words and phrases that the checks count, English only; lower case, as text.words gives them.

Hedges and boosters after the notions of Hyland, "Boosting, hedging and the negotiation of academic knowledge", Text
18(3), 1998; the lists are our own.
"""

import re


def _spaced(*phrases: str) -> tuple[str, ...]:
    """With a space at either end, as text.phrases takes them."""
    return tuple(f" {phrase} " for phrase in phrases)


HEDGES = frozenset(
    [
        "maybe",
        "perhaps",
        "possibly",
        "probably",
        "likely",
        "might",
        "could",
        "seems",
        "seem",
        "seemed",
        "apparently",
        "roughly",
        "approximately",
        "presumably",
        "uncertain",
        "unsure",
        "suppose",
        "somewhat",
        "supposedly",
        "arguably",
        "conceivably",
    ]
)
HEDGING = _spaced(
    "i think", "i believe", "i guess", "i'm not sure", "i am not sure", "not certain", "as far as i know", "it depends",
    "in my opinion", "if i recall", "hard to say",
)  # fmt: skip
BOOSTERS = frozenset(
    [
        "definitely",
        "certainly",
        "absolutely",
        "undoubtedly",
        "clearly",
        "obviously",
        "surely",
        "guaranteed",
        "guarantee",
        "always",
        "never",
        "unquestionably",
        "indisputably",
        "undeniably",
    ]
)
BOOSTING = _spaced(
    "no doubt", "for sure", "without doubt", "without a doubt", "of course", "i am certain", "i'm certain",
    "one hundred percent", "100 percent", "there is no question",
)  # fmt: skip

REFUSING = _spaced(
    "i can't", "i cannot", "i can not", "i won't", "i will not", "i couldn't", "i am unable", "i'm unable",
    "i am not able", "i'm not able", "i must decline", "i have to decline", "i decline", "i refuse", "i'd rather not",
    "i would rather not", "not comfortable", "don't feel comfortable", "as an ai", "as a language model",
    "i'm sorry but", "i am sorry but", "sorry but i", "i'm afraid i", "i am afraid i", "i don't think i can",
    "can't help with that", "cannot help with that", "can't assist", "cannot assist", "not appropriate for me",
)  # fmt: skip
REFUSAL_WORDS = 40
"""A refusal says so among its first words; later, "I can't" is mostly part of the help."""

AGREEING = _spaced(
    "you're right", "you are right", "you're absolutely right", "you are absolutely right", "you're correct",
    "you are correct", "you're so right", "i agree", "i completely agree", "i totally agree", "i couldn't agree more",
    "couldn't agree more", "as you said", "as you say", "as you rightly", "good point", "great point",
    "excellent point",
)  # fmt: skip
_PRAISED = [
    "idea",
    "question",
    "questions",
    "point",
    "plan",
    "thought",
    "choice",
    "thinking",
    "job",
    "work",
    "taste",
    "instinct",
    "suggestion",
    "observation",
]
_PRAISING = [
    "great",
    "good",
    "excellent",
    "brilliant",
    "wonderful",
    "fantastic",
    "amazing",
    "smart",
    "clever",
    "lovely",
    "terrific",
    "superb",
    "awesome",
    "insightful",
    "perfect",
    "impressive",
    "genius",
]
PRAISE = re.compile(
    rf" (?:{'|'.join(_PRAISING)}) (?:{'|'.join(_PRAISED)}) "
    r"| (?:you're|you are) (?:(?:so|very|really|truly|such|an?|absolutely|incredibly) )*"
    rf"(?:{'|'.join(_PRAISING)}|wise|talented|thoughtful|gifted|organised|organized|wonderful|intelligent) "
    r"| (?:nobody|no one) is (?:as|so) \w+ as you | i (?:really |truly )?admire (?:you|your) "
)
PRAISE_WORDS = frozenset([*_PRAISING, "admire", "nobody", "wise", "talented", "thoughtful", "gifted", "organised",
                          "organized", "intelligent", "one"])  # fmt: skip
"""Without one of these there is no praise; saves the search."""
OPINION = _spaced(
    "i think", "i believe", "i feel", "in my opinion", "i'm sure", "i am sure", "i'm convinced", "i am convinced",
    "i know that", "don't you think", "don't you agree", "isn't it", "right", "if you ask me",
)  # fmt: skip
"""The user states an opinion, which an answer may echo."""
NAMED = re.compile(
    r"\b(?:[Mm]y name is|[Mm]y name's|I am called|[Tt]his is|[Cc]all me) ([A-Z][\w'-]+)"
    r"|\bI(?:'m| am|’m) ([A-Z][a-z]+)(?=[,.!?]| and | from |$)"
)
"""Users who say their name."""

LIST_ITEM = re.compile(r"^[ \t]*(?:[-*•+]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} \S|^\*\*[^*\n]+\*\*:?[ \t]*$", re.MULTILINE)
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\u2b50\U0001f1e6-\U0001f1ff]")

TEMPLATE = re.compile(
    r"<\|[A-Za-z_]{2,30}\|>|<｜[^｜\n]{2,40}｜>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
    r"|\[(?:PAD|CLS|SEP|BOS|EOS)\]|^(?:Human|Assistant)[ \t]*:|^#{2,3} ?(?:Instruction|Response|Input)[ \t]*:",
    re.MULTILINE,
)
"""Marks of chat templates that stand in a text as characters; the two words of transcripts only where a line starts."""
TEMPLATE_SIGNS = ("<", "[", "#", "Human", "Assistant")
"""Without one of these there is no mark; saves the search, as NAMING does."""
NAMING = ("name", "I'm ", "I am ", "I’m ", "his is ", "all me ", "called")
