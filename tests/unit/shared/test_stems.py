"""Words are found by BM25 in whatever form they stand, in the languages that can be told; English is as it was."""

import pytest
import qdrant_edge
from hypothesis import given
from hypothesis import strategies as st

from shared.embedding.segments import part_passage
from shared.embedding.sparse import AVERAGE_CHUNK_TERMS, DOUBTFUL, Bm25Encoder
from shared.languages import tell_question
from shared.vector_index.port import SparseVector

BM25 = Bm25Encoder()
ENGLISH = qdrant_edge.Bm25(qdrant_edge.Bm25Config(avg_len=AVERAGE_CHUNK_TERMS, language="english", ascii_folding=True))
"""As all passages were encoded before there were languages."""


def weigh(question: str, passage: SparseVector) -> float:
    """The score without inverse document frequencies."""
    query = BM25.encode_query(question)
    asked = dict(zip(query.indices, query.values, strict=True))
    return sum(asked.get(term, 0.0) * weight for term, weight in zip(passage.indices, passage.values, strict=True))


def encode(passage: str, language: str | None) -> SparseVector:
    return BM25.encode_passages([passage], [language])[0]


def encode_as_before(passage: str) -> SparseVector:
    vector = ENGLISH.embed_document(part_passage(passage))
    return SparseVector(list(vector.indices), list(vector.values))


INFLECTED = [
    ("de", "Die Häuser stehen am Ufer.", "Wie alt ist das Haus?"),
    ("de", "Er schreibt in Wörterbüchern.", "Wörterbuch"),
    ("de", "große Straßen", "Wie heißt die Strasse?"),
    ("es", "Las canciones son técnicas.", "¿Qué canción es?"),
    ("fr", "Les écoles sont fermées.", "Où est l'école ?"),
    ("it", "Le biblioteche sono aperte.", "Dove è la biblioteca?"),
    ("pt", "As garantias são válidas.", "Qual é a garantia?"),
    ("nl", "De garanties zijn geldig.", "Wat is de garantie?"),
    ("sv", "Böckerna finns i biblioteken.", "Vad är ett bibliotek?"),
    ("da", "Bøgerne står i bibliotekerne.", "Hvor er et bibliotek?"),
    ("ru", "Книги лежат в библиотеке.", "Где библиотеки?"),
    ("ru", "Летят самолеты.", "Когда летит самолёт?"),
    ("el", "Τα βιβλία είναι εδώ.", "Πού είναι το βιβλίο;"),
    ("ar", "تفتح المكتبة أبوابها صباحا", "متى تفتح مكتبات المدينة؟"),
    ("ar", "وللمهندسين مكاتب", "المهندسون"),
    ("ar", "كِتَاب جديد", "والكتاب"),
    ("ar", "ﻣﻜﺘﺒﺔ", "مكتبه"),
]


@pytest.mark.parametrize(("language", "passage", "question"), INFLECTED)
def test_a_word_is_found_in_another_form(language: str, passage: str, question: str) -> None:
    """And was not, but for the words in them that are the same."""
    assert weigh(question, encode(passage, language)) > weigh(question, encode_as_before(passage))


@pytest.mark.parametrize("language", [None, "en", "zh", "pl", "xx"])
def test_other_languages_have_the_terms_that_they_had(language: str | None) -> None:
    text = "Die Häuser lift 40 tonnes; the E17's 3.5 % 起重机"
    assert encode(text, language) == encode_as_before(text)


WORDS = st.sampled_from(
    ["the", "die", "was", "in", "of", "house", "houses", "news", "Nike", "2018", "E17", "Haus", "für", "canción", "de"]
)


@given(st.lists(WORDS, min_size=1).map(" ".join), st.lists(WORDS, min_size=1).map(" ".join))
def test_among_english_passages_a_question_finds_what_it_found(question: str, passage: str) -> None:
    """Whatever language it is taken for: at most its own small words are left out."""
    told, _ = tell_question(question)
    before = set(ENGLISH.embed_query(question).indices) & set(encode(passage, "en").indices)
    now = set(BM25.encode_query(question).indices) & set(encode(passage, "en").indices)

    assert now <= before
    if told <= {"en"}:
        assert now == before


def test_names_codes_and_figures_are_found_across_languages() -> None:
    passage = encode("Der Fehler E17 der Firma Nike kostet 4.200 Euro.", "de")
    for question in ("What is E17?", "Nike", "Combien coûte 4.200 ?", "где Nike?"):
        assert weigh(question, passage) > 0


def test_small_words_of_a_question_are_left_out() -> None:
    """An English passage on dies is none for a German question, nor one in which `was` stands."""
    assert weigh("Was sind die Vorteile und für wen?", encode("The die was cast by a man in war.", "en")) == 0
    assert weigh("die casting", encode("The die was cast by a man in war.", "en")) > 0


def test_a_question_that_does_not_tell_is_searched_in_all_languages_with_less_weight() -> None:
    assert weigh("Laufzeiten Batterie", encode("Die Laufzeit ist kurz.", "de")) == pytest.approx(
        DOUBTFUL * encode("Laufzeit", "de").values[-1], rel=0.2
    )


def test_what_was_indexed_before_is_found_by_its_words_as_they_stand() -> None:
    assert weigh("Wo sind die Häuser?", encode_as_before("Die Häuser stehen am Ufer.")) > 0


@given(st.text(max_size=60), st.sampled_from(["ar", "de", "el", "ru", None]))
def test_any_text_is_encoded(text: str, language: str | None) -> None:
    """Each term once, none without weight."""
    for vector in (encode(text, language), BM25.encode_query(text)):
        assert len(set(vector.indices)) == len(vector.indices) == len(vector.values)
        assert all(value > 0 for value in vector.values)
    BM25.list_terms(text, language)


def test_no_two_terms_of_a_passage_have_one_id() -> None:
    """The stem of one word here has the id that the English one of the other has; a server refuses such a point."""
    vector = encode("x91233 x111960", "de")
    assert len(set(vector.indices)) == len(vector.indices) == len(vector.values) == 3


def test_english_questions_keep_words_that_other_languages_have_as_small_ones() -> None:
    for question, passage in {
        "AI cost per seat": "AI",
        "par value plus accrued interest": "par",
        "van hire over 30 days": "vans",
    }.items():
        assert weigh(question, encode(passage, "en")) > 0, question


def test_terms_in_order_are_stems_of_the_language() -> None:
    """What the reranker without a model compares."""
    assert BM25.list_terms("Häuser am Ufer", "de") == BM25.list_terms("das Haus, die Ufer", "de")
    assert BM25.list_terms("houses", None) == BM25.list_terms("house", "en")
