"""Finds the names in an English sentence and looks them up.

A capital letter says little: sentences and headings begin with one, and so do many words that name nothing. What is no
name for certain is passed over, because a false alarm is worse than a miss.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from services.gateway.evidence.dates import MONTHS
from services.gateway.evidence.found import MISSING, UNDECIDED, Lookup, Outcome, Spot
from services.gateway.evidence.language import is_english
from services.gateway.evidence.passage_index import PassageIndex, stem

_WORD = re.compile(r"[^\W\d_]+(?:['.](?=[^\W\d_])[^\W\d_]+)*")
_JOINT = re.compile(r"[ \u00a0]|\. |-|(?: (?:of|the|de|la|van|von|der|den|&)){1,2} ")
_AT_START = re.compile(r"(?:\A|[.!?:;\"(\[|•–—>]|\n|\*\*|(?:\A|\n)\s*(?:[-*+]|\d{1,3}[.)]))[\s*_#>\"(]*\Z")
# In any name, or none: such words alone name nobody.
_GENERIC_WORDS = """
    a an the this that these those it its they he she we you i my our your their his her no yes not all any each both in
    on at by for from to of with as if when while where what which who how why and or but so because since after before
    during under over between according based however therefore also additionally overall note please

    company board director directors management committee department team group section chapter part article item
    appendix annex table figure chart exhibit schedule step phase level class type form report statement document
    agreement contract policy plan program programme project product service system model version standard guide
    guideline guidelines handbook manual rule rules requirement requirements procedure process act law regulation

    chief executive officer president chairman chair manager head secretary minister professor doctor dr mr mrs ms prof
    sir inc ltd llc corp corporation co plc gmbh ag sa international national general annual quarterly monthly daily

    net gross total operating income revenue revenues sales profit loss margin cost costs expense expenses cash flow
    assets liabilities equity tax taxes earnings share shares stock capital interest debt rate ratio year years quarter
    month week day fiscal

    north south east west northern southern eastern western central new internet web english german french spanish
    italian chinese japanese monday tuesday wednesday thursday friday saturday sunday employee employees customer
    customers user users member members staff student students parent parents guest guests god earth ok pdf
"""
_GENERIC = frozenset(map(stem, [*_GENERIC_WORDS.split(), *MONTHS]))
_HEADING_SHARE = 0.75
"""From this share of capitals on a line is a heading, or German: its capitals say nothing."""
_SHORTEST_ALONE = 4
_LONGEST = 6  # words; a longer row of capitals is a heading or a list

MAX_PLACES = 50
"""Of one word in a passage that are looked at."""


@dataclass(frozen=True)
class Name:
    """A name as it stands in a claim; `words` as they are looked up, without those that are in any name."""

    start: int
    end: int
    words: tuple[str, ...]
    acronym: bool
    decisive: bool = True
    """Whether its claim is a sentence in English, where only names have capitals."""


def find_names(claim: str) -> Iterator[Name]:
    """Yield the names of a folded claim; where it is not English, or a heading, those of several words."""
    words = list(_WORD.finditer(claim))
    decisive = is_english_text(claim) and not _is_heading([match[0] for match in words])
    run: list[re.Match[str]] = []
    names: list[Name] = []
    for match in words:
        if run and not (match[0][0].isupper() and _JOINT.fullmatch(claim, run[-1].end(), match.start())):
            names += _make_name(claim, run, decisive=decisive)
            run = []
        if match[0][0].isupper() and not _is_in_code(claim, match):
            run.append(match)
    names += _make_name(claim, run, decisive=decisive)
    yield from (name for name in names if decisive or len(name.words) > 1)


def find_name(name: Name, index: PassageIndex) -> Lookup:
    """Look a name up.

    It is missing where no word of it stands there, or where its first words stand before another capitalised one.
    """
    spots: list[Spot] = []
    present = 0
    contradicted = False
    for position, word in enumerate(name.words):
        found = index.words.get(word, [])[:MAX_PLACES]
        if not found:
            continue
        present += 1
        following = name.words[position + 1] if position + 1 < len(name.words) else ""
        fitting = [other for other in found if other.following == following] or found
        spots.append((fitting[0].start, fitting[0].end))
        if following and following not in index.words:
            others = [other for other in found if other.capital and other.following]
            contradicted = contradicted or any(other.following not in _GENERIC for other in others)
    if present == len(name.words):
        return Lookup(Outcome.FOUND, _join_spots(spots))
    initials = "".join(word[0] for word in name.words)
    if name.acronym or initials in index.initials or set(name.words) & index.initials:
        return UNDECIDED
    if present:
        return MISSING if contradicted else UNDECIDED
    # America and American, Canada and Canadian.
    return UNDECIDED if any(word[:4] in index.beginnings for word in name.words) else MISSING


def is_english_text(text: str) -> bool:
    """Return whether a text reads as English."""
    return is_english(Counter(match[0].lower() for match in _WORD.finditer(text)))


def _join_spots(spots: list[Spot]) -> tuple[Spot, ...]:
    """Return one place where the words follow each other, else the place of the first."""
    follow = all(after[0] - before[1] in (1, 2) for before, after in pairwise(spots))
    return ((spots[0][0], spots[-1][1]),) if follow else (spots[0],)


def _make_name(claim: str, run: list[re.Match[str]], *, decisive: bool) -> Iterator[Name]:
    if not run:
        return
    at_start = _AT_START.search(claim[max(0, run[0].start() - 12) : run[0].start()]) is not None
    # Whatever begins a sentence has a capital.
    if at_start and (len(run) == 1 or stem(run[0][0]) in _GENERIC):
        run = run[1:]
    words = tuple(stem(match[0]) for match in run if len(match[0]) > 1 and stem(match[0]) not in _GENERIC)
    if not words or len(words) > _LONGEST:
        return
    acronym = all(match[0].replace(".", "").isupper() for match in run)
    if acronym or len(words) > 1 or len(words[0]) >= _SHORTEST_ALONE:
        yield Name(run[0].start(), run[-1].end(), words, acronym, decisive)


def _is_heading(words: list[str]) -> bool:
    long = [word for word in words if len(word) > 3]
    return len(long) > 2 and sum(word[0].isupper() for word in long) >= _HEADING_SHARE * len(long)


def _is_in_code(claim: str, match: re.Match[str]) -> bool:
    """Return whether digits are attached to a word: then it is a code."""
    return claim[max(0, match.start() - 1) : match.start()].isdigit() or claim[match.end() : match.end() + 1].isdigit()
