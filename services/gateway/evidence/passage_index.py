"""A passage, read once, so that much can be looked up in it."""

import re
from collections import Counter, defaultdict
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from services.gateway.evidence.dates import Date, find_dates
from services.gateway.evidence.figure_lookup import FigureIndex
from services.gateway.evidence.figures import find_figures
from services.gateway.evidence.folding import Skeleton, fold_characters, fold_word, make_skeleton
from services.gateway.evidence.found import MISSING, UNDECIDED, Lookup, Outcome, Spot
from services.gateway.evidence.language import is_english
from services.gateway.evidence.units import find_scale_hints

MAX_CHARS = 10_000
"""Of a passage that are read; ours have 2,000 at most."""

MAX_FIGURES = 500
"""Of a passage that are read; a table of 2,000 characters has 300 at most."""

_WORD = re.compile(r"[^\W\d_]+(?:['.](?=[^\W\d_])[^\W\d_]+)*")
_ABBREVIATION = re.compile(r"\b[A-Z](?:\.?[A-Z]){1,5}\b")
_CAPITALS = re.compile(r"[A-Z][\w']*(?:[ -](?:of |and |the |for |& )?[A-Z][\w']*){1,6}")
_TIME = re.compile(r"(?<![\d:.])(\d{1,2})[:.h]([0-5]\d)(?![\d:])")


class Word(NamedTuple):
    """A word of a passage; `following` is the next where only a blank stands between, folded."""

    start: int
    end: int
    capital: bool
    following: str


class PassageIndex:
    """What can be looked up in a passage; each part is read when it is first needed.

    Parameters:
        text: as the model was given it, but in the characters of the source: brackets masked one for one.
    """

    def __init__(self, text: str) -> None:
        self.text = text[:MAX_CHARS]
        self._cut = len(text) > MAX_CHARS

    @cached_property
    def folded(self) -> str:
        """The text in plain characters."""
        return fold_characters(self.text)

    @cached_property
    def figures(self) -> FigureIndex:
        """Its figures."""
        figures = islice(find_figures(self.folded, apart=True), MAX_FIGURES)
        return FigureIndex(figures, find_scale_hints(self.folded))

    @cached_property
    def is_partial(self) -> bool:
        """Whether some of it was not read, so that nothing is missing for certain."""
        return self._cut or len(self.figures.figures) == MAX_FIGURES

    @cached_property
    def dates(self) -> tuple[Date, ...]:
        """Its dates."""
        return tuple(islice(find_dates(self.folded), MAX_FIGURES))

    @cached_property
    def years(self) -> dict[int, Spot]:
        """The years of its dates, and where each is first named."""
        years: dict[int, Spot] = {}
        for date in self.dates:
            for year, _, _ in date.readings:
                if year is not None:
                    years.setdefault(year, (date.start, date.end))
        return years

    @cached_property
    def times(self) -> dict[tuple[int, int], Spot]:
        """Its times of day, on a clock of twelve hours."""
        return {(int(found[1]) % 12, int(found[2])): found.span() for found in reversed([*_TIME.finditer(self.folded)])}

    @cached_property
    def words(self) -> dict[str, list[Word]]:
        """Its words by how they are looked up."""
        words: dict[str, list[Word]] = defaultdict(list)
        found = list(_WORD.finditer(self.folded))
        stems = [stem(match[0]) for match in found]
        for position, match in enumerate(found):
            follows = position + 1 < len(found) and found[position + 1].start() == match.end() + 1
            capital = follows and found[position + 1][0][0].isupper()
            following = stems[position + 1] if capital else ""
            words[stems[position]].append(Word(match.start(), match.end(), match[0][0].isupper(), following))
        return words

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """The first four letters of its words: `America` and `American` begin alike."""
        return frozenset(word[:4] for word in self.words)

    @cached_property
    def initials(self) -> frozenset[str]:
        """Its abbreviations in capitals, and those that its capitalised words would have."""
        written = {
            match[0].replace(".", "").lower() for match in re.finditer(r"\b[A-Z](?:\.?[A-Z]){1,5}\b", self.folded)
        }
        spelled = set()
        for run in re.findall(r"[A-Z][\w']*(?:[ -](?:of |and |the |for |& )?[A-Z][\w']*){1,6}", self.folded):
            letters = [word[0].lower() for word in re.split(r"[ -]", run) if word[0].isupper()]
            spelled |= {"".join(letters[start:]) for start in range(len(letters) - 1)}
        return frozenset(written | spelled)

    @cached_property
    def is_english(self) -> bool:
        """Whether it reads as English."""
        return is_english(Counter({word: len(found) for word, found in self.words.items()}))

    @cached_property
    def skeleton(self) -> Skeleton:
        """Its letters and digits."""
        return make_skeleton(self.text)

    @cached_property
    def bare_skeleton(self) -> Skeleton:
        """The same without numbers in brackets."""
        return make_skeleton(self.text, bracketed_numbers=False)

    def find_text(self, skeleton: str) -> Lookup:
        """Look up letters and digits, whatever stands between them."""
        for haystack in (self.skeleton, self.bare_skeleton):
            if spot := haystack.find(skeleton):
                return Lookup(Outcome.FOUND, (spot,))
        return MISSING

    def find_year(self, year: int) -> Lookup:
        """Look up a year, alone or in a date."""
        spots = self.figures.list_spots(year)
        if spots or year in self.years:
            return Lookup(Outcome.FOUND, spots or (self.years[year],))
        return MISSING

    def find_date(self, date: Date) -> Lookup:
        """Look up a date; its year may stand apart from its day, as over the columns of a table."""
        best = MISSING
        for year, month, day in date.readings:
            if month is None and year is not None:
                if (found := self.find_year(year)).outcome is Outcome.FOUND:
                    return found
                continue
            for other in self.dates:
                for other_year, other_month, other_day in other.readings:
                    if month != other_month or (day is not None and day != other_day):
                        continue
                    if year in (None, other_year):
                        return Lookup(Outcome.FOUND, ((other.start, other.end),))
                    if other_year is None and year is not None:
                        apart = self.find_year(year)
                        spots = ((other.start, other.end), *apart.spots[:1])
                        best = Lookup(Outcome.FOUND, spots) if apart.outcome is Outcome.FOUND else UNDECIDED
        if best.outcome is Outcome.MISSING and not any(m for found in self.dates for _, m, _ in found.readings):
            # No date that we can read; one of another language or notation has these figures at least.
            numbers = [number for number in (date.readings[0][0], date.readings[0][2]) if number is not None]
            if numbers and all(self.figures.holds(number) for number in numbers):
                return UNDECIDED
        return best

    def find_time(self, hour: int, minute: int) -> Lookup:
        """Look up a time of day."""
        if spot := self.times.get((hour % 12, minute)):
            return Lookup(Outcome.FOUND, (spot,))
        if minute == 0:
            spots = (
                self.figures.list_spots(hour)
                or self.figures.list_spots(hour + 12)
                or self.figures.list_spots(hour - 12)
            )
            return Lookup(Outcome.FOUND, spots) if spots else MISSING
        return MISSING


def stem(word: str) -> str:
    """Return a word as it is looked up: folded, without points and the endings of a genitive or plural."""
    word = fold_word(word.replace(".", ""))
    word = word.removesuffix("'s").removesuffix("'")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
