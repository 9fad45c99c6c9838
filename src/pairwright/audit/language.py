"""A guess at a text's language: the script of its letters, and for Latin letters its commonest small words.

Made to notice that an answer is in another language than its prompt, not to tell Danish from Norwegian. "" where there
is too little to go by. The small words are facts of each language; words that several of them share count for none.
"""

import re
from collections import Counter
from collections.abc import Sequence

_SMALL = {
    "en": "the and of to is in that it you for with this are be have not on was what do can your how they will from my "
    "we there would about if which when has i me please could should so an or but at by as",
    "de": "der die das und ist nicht ich sie ein eine zu den mit auf für von dem sich auch wie es wir oder aber wenn "
    "kann einen sind haben noch nach bei einem",
    "fr": "le les et est une pour dans que vous je pas des du avec sur ce nous il elle qui au sont mais ou cette votre "
    "être plus comme aux",
    "es": "el los las y es una para con por lo su pero como más sus usted está muy también porque hay sobre ser puede "
    "este esta del al se",
    "it": "il gli della che di è per un una non sono con del le questo anche più si alla nel ma come ho può essere lei "
    "dei delle",
    "pt": "os as da do em uma para não com por mais você isso está são muito também ao pelo seu sua ou mas como foi "
    "dos das",
    "nl": "de het een van en ik je dat niet op te zijn voor met maar ook wat dit deze om aan er naar heeft wordt kan",
    "pl": "nie się na jest że do jak to ale po czy tak co być może dla przez są który oraz",
    "sv": "och att det är som en på för inte med har jag av till den om ett du kan vi så var",
    "tr": "bir ve bu için ile çok ne var mı da de daha gibi olarak değil ben sen",
    "id": "yang dan di untuk dengan tidak ini itu dari ada saya akan pada anda adalah bisa",
}


def _owners() -> dict[str, str]:
    seen = Counter(word for said in _SMALL.values() for word in set(said.split()))
    return {word: code for code, said in _SMALL.items() for word in said.split() if seen[word] == 1}


_OWNER = _owners()
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("cyrillic", re.compile("[\u0400-\u04ff]")),
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("hebrew", re.compile("[\u0590-\u05ff]")),
    ("devanagari", re.compile("[\u0900-\u097f]")),
    ("thai", re.compile("[\u0e00-\u0e7f]")),
)
CODES = ("", *_SMALL, *(name for name, _ in _SCRIPTS))
"""Every answer that `language` can give."""

LEAST_WORDS, LEAST_SHARE = 2, 0.12
"""A language is told by two of its own small words that are an eighth of the words; chosen so that the miniature's
short English answers and HH-RLHF's get no other language than English."""
_LETTERS = re.compile(r"[^\W\d_]")


def language(text: str, said: Sequence[str]) -> str:
    """Code of the language or script, "" where it cannot be told. `said` is text.words(text)."""
    if not text.isascii():
        foreign = {name: len(script.findall(text)) for name, script in _SCRIPTS}
        letters = len(_LETTERS.findall(text)) or 1
        if foreign["ja"] * 5 > letters:
            return "ja"  # Japanese mixes its own letters with Chinese ones
        name = max(foreign, key=lambda each: foreign[each])
        if foreign[name] * 2 > letters:
            return name
    owners: Counter[str | None] = Counter(map(_OWNER.get, said))
    found = Counter({code: count for code, count in owners.items() if code})
    if not found:
        return ""
    (code, count), *others = found.most_common(2)
    clear = count >= LEAST_WORDS and count >= LEAST_SHARE * len(said) and count >= 2 * (others[0][1] if others else 0)
    return code if clear else ""
