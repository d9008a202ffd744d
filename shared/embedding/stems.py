"""The terms of a text in one language: its words without their endings, and without the language's stop words.

Their ids are of that language alone. So they meet no word of another one, and an index in which no text is in that
language has none of them.
"""

import re
import unicodedata
import zlib

import qdrant_edge as edge

from shared.languages import list_small_words

_NAMES = {
    "ar": ("arabic", edge.Language.Arabic),
    "da": ("danish", edge.Language.Danish),
    "de": ("german", edge.Language.German),
    "el": ("greek", edge.Language.Greek),
    "es": ("spanish", edge.Language.Spanish),
    "fr": ("french", edge.Language.French),
    "it": ("italian", edge.Language.Italian),
    "nl": ("dutch", edge.Language.Dutch),
    "pt": ("portuguese", edge.Language.Portuguese),
    "ru": ("russian", edge.Language.Russian),
    "sv": ("swedish", edge.Language.Swedish),
}
STEMMED = frozenset(_NAMES)
"""Languages, besides English, that are told and that the engine has a stemmer for."""

_LIGATURES = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe"})
_ARABIC_LETTERS = str.maketrans("أإآٱىةؤئ", "اااايهوي", "".join(map(chr, (0x640, 0x670, *range(0x64B, 0x653)))))
"""Forms of one letter become one; the stroke that lengthens words and the signs of vowels go."""
_ARABIC_BEGINNINGS = re.compile(r"\b(?:[وف]?(?:ال|لل|[بك]ال)|و(?=\w{3}))(?=\w\w)")
"""The article, what is written in one word with it, and `and`."""
_ARABIC_ENDINGS = re.compile(r"(?<=\w\w)(?:ها|ان|ات|ون|ين|يه|يا|[هيا])\b")


class Stems:
    """A language's terms. Safe to share by threads.

    Parameters:
        language: one of STEMMED.
    """

    def __init__(self, language: str, average_terms: float) -> None:
        name, stop_words = _NAMES[language]
        # The encoder folds accents before it looks for stop words: those with accents are given without them.
        small = {_fold(word) for word in list_small_words(language)}
        own = edge.StopwordsSet(languages={stop_words}, custom=small)
        both = edge.StopwordsSet(languages={stop_words, edge.Language.English}, custom=small)
        self.model = edge.Bm25(edge.Bm25Config(avg_len=average_terms, language=name, stopwords=own, ascii_folding=True))
        """Its ids are not yet those of the language: `own_id`."""
        self.english = edge.Bm25(
            edge.Bm25Config(avg_len=average_terms, language="english", stopwords=both, ascii_folding=True)
        )
        """English stems without stop words of either language: what texts of all languages have in common."""
        self._language = language
        self._seed = zlib.crc32(language.encode())

    def own_id(self, term: int) -> int:
        """Return the id of a term of `model`."""
        return zlib.crc32(int(term).to_bytes(8, "little"), self._seed)

    def write_plain(self, text: str) -> str:
        """Return the text as `model` reads it best: forms of one letter, or word, that it takes for different ones."""
        if self._language == "ru":
            return text.replace("ё", "е").replace("Ё", "Е")
        if self._language == "ar":
            text = unicodedata.normalize("NFKC", text).translate(_ARABIC_LETTERS)
            return _ARABIC_ENDINGS.sub("", _ARABIC_BEGINNINGS.sub("", text))
        return text


def _fold(word: str) -> str:
    parts = unicodedata.normalize("NFD", word.translate(_LIGATURES))
    return "".join(part for part in parts if not unicodedata.combining(part)) or word
