"""Finds in a passage the sentence that says most of what is asked, so that a reader need not look for it."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from rank_bm25 import BM25Plus

from shared.sentences import find_sentences
from shared.vector_index.port import SparseVector

_LONG_CHARS = 400
"""What is longer is no sentence: a table, or a list without full stops. Each line of it stands for itself."""

_LINE = re.compile(r"\S[^\n]*")

EncodePassages = Callable[[Sequence[str]], Sequence[SparseVector]]


def find_best_sentence(query: Collection[int], text: str, encode: EncodePassages) -> tuple[int, int] | None:
    """Return where in the text its best sentence stands: the first one of the highest BM25 among the text's sentences.

    None where none has a term of the question, or there is only one.

    Parameters:
        query: ids of the question's terms.
        encode: the encoder of the lexical leg, which stems words and leaves out stop words.
    """
    spans = list(_split(text))
    if len(spans) < 2:
        return None
    sentences = [vector.indices for vector in encode([text[start:end] for start, end in spans])]
    if set(query).isdisjoint(term for terms in sentences for term in terms):
        return None
    scores = BM25Plus([list(terms) or [-1] for terms in sentences]).get_scores(list(query))
    return spans[int(scores.argmax())]


def _split(text: str) -> Iterator[tuple[int, int]]:
    for start, end in find_sentences(text):
        if end - start <= _LONG_CHARS:
            yield start, end
        else:
            yield from (line.span() for line in _LINE.finditer(text, start, end))
