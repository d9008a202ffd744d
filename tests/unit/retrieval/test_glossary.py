"""A question is searched for in the words of documents, too, where a glossary knows them."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.domain.glossary import (
    NO_GLOSSARY,
    PHRASE_WEIGHT,
    Glossary,
    GlossaryError,
    add_terms,
    list_phrases,
    read_glossary,
)
from services.retrieval.settings import RetrievalSettings, load_glossary
from shared.settings import load_settings
from shared.vector_index.port import SparseVector

GLOSSARY = read_glossary(
    """# ratios
    free cash flow, FCF = net cash provided | purchases of property
    free cash flow conversion = net cash provided | net income
    SG&A = selling, general and administrative expenses
    acid-test = total current liabilities
    IT = information technology
    """.replace("    ", "")
)
WORDS = st.sampled_from(["free", "cash", "flow", "conversion", "FCF", "SG&A", "IT", "it", "of", "acid", "test", "2018"])
WEIGHTS = st.dictionaries(st.integers(0, 20), st.floats(0.1, 1.0), max_size=10)


def expand(glossary: Glossary, question: str) -> list[str]:
    return list_phrases(glossary.find_terms(question))


def make_vector(weights: dict[int, float]) -> SparseVector:
    return SparseVector(list(weights), list(weights.values()))


def test_the_longest_term_counts_and_each_phrase_once() -> None:
    """`free cash flow` is part of another term there, and the second one says nothing new."""
    assert expand(GLOSSARY, "What is the Free Cash Flows conversion? And the FCF?") == [
        "net cash provided",
        "net income",
        "purchases of property",
    ]
    assert expand(GLOSSARY, "acid test") == expand(GLOSSARY, "Acid-Tests") == ["total current liabilities"]


def test_a_term_is_told_as_the_question_writes_it() -> None:
    """With what stands between its words: whoever answers looks for it there."""
    terms = GLOSSARY.find_terms("Acid-Tests, free  cash\nflow's growth and SG&A?")

    assert [term.term for term in terms] == ["Acid-Tests", "free  cash\nflow", "SG&A"]
    assert terms[1].phrases == ["net cash provided", "purchases of property"]


def test_a_term_with_capitals_counts_only_as_it_is_written() -> None:
    """`it` is no information technology; an ampersand is part of a word."""
    assert expand(GLOSSARY, "Does it grow?") == []
    assert expand(GLOSSARY, "Does IT grow?") == ["information technology"]
    assert expand(GLOSSARY, "SG&A's share") == ["selling, general and administrative expenses"]
    assert expand(GLOSSARY, "sg&a") == []
    assert expand(NO_GLOSSARY, "IT") == []


@given(st.lists(WORDS, max_size=12))
def test_only_phrases_of_the_glossary_are_said_each_once(words: list[str]) -> None:
    """Whatever is asked, and nothing where none of the words begins a term."""
    said = expand(GLOSSARY, " ".join(words))

    assert len({*said}) == len(said)
    assert {*said} <= {phrase for phrases in GLOSSARY.entries.values() for phrase in phrases}
    assert said or not {"FCF", "SG&A", "IT"} & {*words}


def test_a_very_long_term_does_not_make_long_questions_slow() -> None:
    """Only as many words are looked at as terms have, not each number up to the longest."""

    class Counted(dict[tuple[str, ...], list[str]]):
        looks = 0

        def get(self, key: tuple[str, ...], default: Any = None) -> Any:
            self.looks += 1
            return super().get(key, default)

    words = [f"w{number}" for number in range(1000)]
    entries = Counted({("capex",): ["purchases"], tuple(words): ["long"]})
    glossary = Glossary("g", entries)

    assert expand(glossary, " ".join(["a"] * 1000 + ["capex", *words])) == ["purchases", "long"]
    assert entries.looks < 6 * 2000


@given(st.text(max_size=200))
def test_any_text_is_a_question(text: str) -> None:
    """Built-in terms or not."""
    expand(load_glossary("built-in"), text)


@given(WEIGHTS, WEIGHTS)
def test_own_terms_keep_their_weight_and_others_weigh_less(own: dict[int, float], said: dict[int, float]) -> None:
    """Each term once: a server refuses vectors that have one twice."""
    both = add_terms(make_vector(own), make_vector(said))
    weights = dict(zip(both.indices, both.values, strict=True))

    assert len(weights) == len(both.indices)
    assert weights.keys() == own.keys() | said.keys()
    for term, weight in weights.items():
        assert math.isclose(weight, own[term] if term in own else PHRASE_WEIGHT * said[term])


@pytest.mark.parametrize(
    "line", ["capex", "capex =", "capex = |", "= purchases", "capex, , = purchases", "capex = ..."]
)
def test_a_line_that_is_no_entry_is_named(line: str) -> None:
    """By its number, with what is expected."""
    with pytest.raises(GlossaryError, match=r"line 2 is not `term, term = phrase \| phrase`"):
        read_glossary(f"# ours\n{line}\n")


@pytest.mark.parametrize("term", ["C++", "capex, C#", ".NET", "on .NET", "% of sales", "$ a share", "A*", "net + tax"])
def test_a_term_with_a_sign_that_is_in_no_word_is_refused(term: str) -> None:
    """`C++` would stand for C wherever that is asked for; the line is named, and the sign."""
    with pytest.raises(GlossaryError, match=r"line 2 has a term with '[+#.%$*]', which is not seen in questions: "):
        read_glossary(f"# ours\n{term} = compiled language\n")


@pytest.mark.parametrize(
    "term", ["P&L", "U.S.", "10-K", "days (DSO)", "owner's equity", "net/gross", "राजस्व", "net_debt"]
)
def test_punctuation_within_a_term_is_no_sign(term: str) -> None:
    """It is found as it is written."""
    assert expand(read_glossary(f"{term} = phrase + more"), f"How much is {term}?") == ["phrase + more"]


def test_the_name_follows_from_the_entries() -> None:
    """Kept answers are of one glossary: another one finds other passages."""
    one = read_glossary("capex = purchases")
    assert one.name == read_glossary("# ours\n\ncapex = purchases\n").name
    assert len({one.name, read_glossary("capex = additions").name, NO_GLOSSARY.name}) == 3
    assert "purchases" not in repr(one)


def test_a_file_of_ones_own_takes_the_place_of_the_built_in_one(tmp_path: Path) -> None:
    """`off` is none at all."""
    path = tmp_path / "ours.txt"
    path.write_text("Grüßle = Willkommensgeschenk\n", encoding="utf-8")

    def expand_by_setting(choice: str, question: str) -> list[str]:
        return expand(RetrievalSettings(glossary=choice).make_search_options().glossary, question)

    assert expand_by_setting(str(path), "Wer bekommt ein Grüßle?") == ["Willkommensgeschenk"]
    assert expand_by_setting(str(path), "capex") == expand_by_setting("off", "capex") == []
    built_in = RetrievalSettings().make_search_options().glossary
    assert "purchases of property, plant and equipment" in expand(built_in, "How high was capex?")


def test_a_file_of_an_editor_that_marks_utf_8_is_read(tmp_path: Path) -> None:
    """The mark is no part of the first line, were it a comment."""
    path = tmp_path / "ours.txt"
    path.write_text("# ours\r\ncapex = purchases\r\n", encoding="utf-8-sig", newline="")

    assert expand(load_glossary(str(path)), "capex") == ["purchases"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot be read"), (b"capex", "line 1"), (b"\nC++ = X", "line 2"), (b"\xff", "utf-8")],
)
def test_a_file_that_is_none_ends_the_start_with_its_reason(
    content: bytes | None, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, which names the setting."""
    path = tmp_path / "ours.txt"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("PAGEWIRE_GLOSSARY", str(path))

    with pytest.raises(SystemExit, match=rf"^pagewire: PAGEWIRE_GLOSSARY: .*{complaint}"):
        load_settings(RetrievalSettings)


def test_the_built_in_glossary_knows_measures_of_reports() -> None:
    """Ratios are said as the lines that they are of; what documents print as it is asked for has no synonyms."""
    glossary = load_glossary("built-in")

    assert expand(glossary, "What is the quick ratio?")[-1] == "total current liabilities"
    assert expand(glossary, "net PP&E in the balance sheet")[0] == "property, plant and equipment, net"
    assert expand(glossary, "What were revenue, net income and inventories in 2018?") == []
    assert expand(glossary, "May I take my laptop home?") == []
