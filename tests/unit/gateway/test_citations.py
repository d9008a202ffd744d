"""No wrong citation passes and no other text is touched, whatever the pieces in which a model's text arrives."""

import time
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from services.gateway.answers.citation_markers import mask_markers, name_passages, read_marker
from services.gateway.answers.citations import MAX_HELD_CHARS, CitationFilter

PIECES = (
    "[1]|[2]|[99]|[1, 9]|[0, 1]|[1-3]|【1】|[^2]|[Source 3]|[|]|(|)|1|9|,|, |;|-| |a|ab|f(|x_|.|:|"
    "`|```|$|$$|\\|~~~|\n|\n\n|> |=|*"
)
TEXTS = (
    st.lists(st.sampled_from(PIECES.split("|")), max_size=14).map("".join)
    | st.text(st.sampled_from("[]()【】01239,;-–^†`~$\\ ab.:\n"), max_size=60)
    | st.text(max_size=60)
)
COUNTS = st.integers(0, 12)
FIFTY = f"[{', '.join(map(str, range(1, 51)))}]"


def run(pieces: list[str], count: int) -> tuple[str, set[int]]:
    citations = CitationFilter(count)
    text = "".join(citations.feed(piece) for piece in pieces) + citations.finish()
    return text, citations.cited


@pytest.mark.parametrize(
    ("marker", "cited"),
    [
        ("[1]", {1}),
        ("[1, 2]", {1, 2}),
        ("[1][3]", {1, 3}),
        ("[1], [2] [3]", {1, 2, 3}),
        ("[1-3]", {1, 2, 3}),
        ("[1–3]", {1, 2, 3}),
        ("[1—3]", {1, 2, 3}),
        ("[1]-[3]", {1, 3}),
        ("【1】", {1}),
        ("【1†source】", {1}),
        ("【2†L3-L8】", {2}),
        ("［１］", {1}),
        ("[１、２]", {1, 2}),
        ("[٣]", {3}),
        ("[^1]", {1}),
        ("[^1, ^2]", {1, 2}),
        ("[ 1 ]", {1}),
        ("[1;2]", {1, 2}),
        ("[1 and 2]", {1, 2}),
        ("[1, 2, and 3]", {1, 2, 3}),
        ("[1 & 3]", {1, 3}),
        ("[3,]", {3}),
        ("[03]", {3}),
        ("[Passage 1]", {1}),
        ("[Source 2]", {2}),
        ("[source: 1, source: 3]", {1, 3}),
        ("[passage 1, page 3]", {1}),
        ("[2, pp. 30-31]", {2}),
        ("[Documents 1-2]", {1, 2}),
        ("([1])", {1}),
        ("(see [1])", {1}),
        ("[[1]]", {1}),
    ],
)
def test_every_form_that_models_write_is_a_citation(marker: str, cited: set[int]) -> None:
    """It passes as it is, after a blank, a word, the end of a sentence, a figure, and at the beginning."""
    for before in ("", "Sales grew ", "Sales grew. ", "Sales grew.", "grew by 5%", "in 2023", "*grew* ", "「増」"):
        for after in ("", ".", " and more", ", and", "**", "\n", "。"):
            text = f"{before}{marker}{after}"
            assert run([text], 3) == (text, cited)


WRONG_MARKERS = (
    "[4]|[0]|[99]|[99,]|[4, 5]|[4-6]|[2-9]|[４]|【4】|［４］|[^99]|[Source 4]|[ 4 ]|[4][5]|[4], [5]|[4] [5]|[4]–[6]|"
    "[4, page 2]|【4†source】|【4:0†source】|([4])|([4][5])"
)


@pytest.mark.parametrize("marker", WRONG_MARKERS.split("|"))
def test_markers_that_name_no_passage_go(marker: str) -> None:
    """With them goes a blank that would stand alone, so that what is left reads well."""
    assert run([f"Sales grew {marker}."], 3) == ("Sales grew.", set())
    assert run([f"Sales grew.{marker} More."], 3) == ("Sales grew. More.", set())
    assert run([f"Sales {marker} grew"], 3) == ("Sales grew", set())
    assert run([f"Sales {marker}\n{marker} grew"], 3) == ("Sales\ngrew", set())
    assert run([f"grew {marker}[1]"], 3) == ("grew [1]", {1})
    assert run([f"grew [1] {marker}, and"], 3) == ("grew [1], and", {1})
    if "(" not in marker:
        assert run([f"grew [1], {marker}."], 3) == ("grew [1].", {1})


@pytest.mark.parametrize(
    ("marker", "left", "cited"),
    [
        ("[1, 7]", "[1]", {1}),
        ("[7;2 ; 1]", "[2, 1]", {1, 2}),
        ("[1-2, 7-9]", "[1-2]", {1, 2}),
        ("[Source 1, Source 9]", "[Source 1]", {1}),
        ("[9, Source 1, p. 4]", "[Source 1, p. 4]", {1}),
        ("[^1, ^9]", "[^1]", {1}),
        ("【1、9】", "【1】", {1}),
        (FIFTY, "[1, 2, 3]", {1, 2, 3}),
    ],
)
def test_valid_numbers_of_a_list_stay(marker: str, left: str, cited: set[int]) -> None:
    """Only the impossible ones go."""
    assert run([f"grew {marker}."], 3) == (f"grew {left}.", cited)


def test_a_removed_marker_leaves_bold_text_whole() -> None:
    """A blank before the closing stars would undo them."""
    assert run(["**Sales [9]** and **costs** [9]"], 3) == ("**Sales** and **costs**", set())


def test_fifty_citations_in_one_bracket_count() -> None:
    """As many as there can be passages."""
    assert run([f"all {FIFTY}"], 50) == (f"all {FIFTY}", set(range(1, 51)))


@pytest.mark.parametrize(
    "text",
    [
        "a[0] and a[1]",
        "x[1][2]",
        "x[1][9]",
        "f(x)[3] and f(g(1), h)[2]",
        "my_list[1], sys.argv[1]",
        "row[0][1]",
        "args[9]",
        "the interval [0, 1]",
        "the interval [1, 2]",
        "values in the range [1, 3] of",
        "x ∈ [1, 2] and y = [1, 2, 3]",
        "[0, 1] and [0; 5]",
        "regex [0-9]+ or [1-9][0-9]* or [1-3]{2} or [^1-3]",
        "won [3-1]",
        "[9](url) and [1](https://x.y)",
        "![1](picture.png)",
        "[9]([9]) and [1]([2])",
        "[text][1] and [9][text]",
        "[1]: https://x.y\n[9]: https://x.y",
        "[^1]: A footnote.",
        "[2024] EWCA Civ 12, since [1999-2004], order [12345]",
        "[[1, 2], [3, 4]]",
        "[[9]]",
        "[18]F-FDG",
        "[sic] [a1] [] [ ] [x] [1a] (1) {1} [+1] [-1] [1.5] [1 2] [1/2] ⟦1⟧",
        "[1\n]",
        "[1】",
        "\\[1\\] and \\[1]",
        "`a [1]` and ``b ` [9]``",
        "```python\nx = [9] or [1]\n```",
        "~~~\n[9]\n```\n[1]\n~~~~",
        "1. Do:\n   ````md\n   ```\n   [9]\n   ```\n   ````",
        "$x [1]$ and $$\n[9]\n$$ and \\(x [1]\\) and \\[\n[9]\n\\]",
        "```code [9]``` here",
        "tail [1",
        "【4:",
    ],
)
def test_what_is_no_marker_passes_unchanged(text: str) -> None:
    """Code, mathematics, links, index expressions, intervals, years: nothing goes and nothing is counted."""
    for before, after in (("", ""), ("So ", "\n"), ("\n\n- ", " done."), ("> ", "\n\nnext")):
        if not before.strip() or ("\n[" not in text and not text.startswith(("[1]:", "[^1]:", "```", "~~~", "1."))):
            assert run([before.lstrip(" So") + text + after], 3) == (before.lstrip(" So") + text + after, set())


@pytest.mark.parametrize(
    ("text", "expected", "cited"),
    [
        ("sales[1] and sales[9]", "sales[1] and sales[9]", {1}),
        ("sales[1][3], grew[1][9]", "sales[1][3], grew[1][9]", {1, 3}),
        ("sales[^1][^9]", "sales[^1]", {1}),
        ("売上[1]高[9]は", "売上[1]高は", {1}),
        ("FY23[1], 5.2[9] and 5.2bn[9]", "FY23[1], 5.2 and 5.2bn[9]", {1}),
        ("(in millions)[1] (2023)[9]", "(in millions)[1] (2023)", {1}),
        ("`code`[1] `code`[9]", "`code`[1] `code`[9]", {1}),
        ("[[9]7] and [1, [9]9]", "[[9]7] and [1, [9]9]", set()),
        ("costs $5 [1] and $6 [9] or US$7 [2]", "costs $5 [1] and $6 or US$7 [2]", {1, 2}),
        ("a lone ` here [1]\nnext [9].", "a lone ` here [1]\nnext.", {1}),
        ("in $m [1][3] only a[2]\nnext [9].", "in $m [1][3] only a[2]\nnext.", {1, 3}),
        ("\\` no code [9] \\$x [9] y$", "\\` no code \\$x y$", set()),
        ("| a [9] | [1] |\n|---|---|\n| a[1] | `[2]` |", "| a | [1] |\n|---|---|\n| a[1] | `[2]` |", {1}),
        ("```\n[9]\n```\n[9] x [1]", "```\n[9]\n```\nx [1]", {1}),
    ],
)
def test_what_stands_around_decides(text: str, expected: str, cited: set[int]) -> None:
    """The same bracket is a marker in one place and something else in another."""
    assert run([text], 3) == (expected, cited)
    assert run(list(text), 3) == (expected, cited)


def test_a_marker_is_removed_across_piece_borders() -> None:
    """As tokens really split it."""
    assert run(["See", " [", "1", "2", "]", "."], 3) == ("See.", set())
    assert run(["See ", "[", "1", "2", "]", "."], 12) == ("See [12].", {12})


def test_a_lone_bracket_does_not_hold_text_back() -> None:
    """What follows shows at once that it is no marker."""
    citations = CitationFilter(3)
    assert citations.feed("x [") == "x"
    assert citations.feed("see") == " [see"
    assert citations.feed(" [1]") == ""
    assert citations.feed(" ") == " [1]"


@pytest.mark.parametrize("bracket", [")[1]", "([9]", "[1](", "[", "`)[1] "])
def test_brackets_take_time_in_proportion_to_their_number(bracket: str) -> None:
    """Sixteen times as many take about sixteen times as long, not 256 times."""

    def measure(times: int) -> float:
        began = time.process_time()
        run([bracket * times], 3)
        return time.process_time() - began

    few, many = (min(measure(times) for _ in range(3)) for times in (100, 1600))
    assert many < 16 * 4 * few


ENDLESS = [
    "[" + "1, " * 500,
    "[1, p. " + "1" * 900,
    "[" + " " * 900,
    "【1†" + "x" * 900,
    "[1]" + "[9, " * 300,
    "[9]" * 300,
    "`" * 900,
]


@pytest.mark.parametrize("endless", ENDLESS)
def test_hold_back_is_bounded(endless: str) -> None:
    """However a bracket goes on, what came before comes out."""
    citations = CitationFilter(3)
    sent = 0
    for char in endless:
        sent += len(citations.feed(char))
        assert len(citations._held) <= MAX_HELD_CHARS
    assert sent + len(citations.finish()) == (0 if endless.startswith("[9]") else len(endless))


@given(TEXTS, COUNTS, st.lists(st.integers(0, 60)))
@example("a[1][9]", 3, [1, 2, 3, 4, 5, 6])
def test_the_pieces_do_not_matter(text: str, count: int, cuts: list[int]) -> None:
    """Any split gives the same text and the same citations as one piece."""
    borders = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(borders)]
    assert run(pieces, count) == run([text], count)
    assert run(list(text), count) == run([text], count)


@given(TEXTS, COUNTS)
def test_only_markers_go(text: str, count: int) -> None:
    """What comes out is a part of what went in, and all that is cited is there."""
    output, cited = run([text], count)
    assert cited <= set(range(1, count + 1))
    # A list may get a comma and a blank that it did not have.
    rest = iter(text)
    assert all(char in rest for char in output.translate({ord(","): None, ord(" "): None}))


@given(TEXTS, COUNTS, st.lists(st.integers(0, 60)))
@example("see [9] [2] and [1, 9].", 3, [5, 12])
@example("🙂 ([9]) [1]", 3, [])
@example("Sales [1]", 3, [6])
@example("xxxx [1]", 3, [2, 4])
def test_each_citation_is_at_its_place(text: str, count: int, cuts: list[int]) -> None:
    """However the text came: at its place in what was sent stands a whole marker that names the passage."""
    borders = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    citations = CitationFilter(count)
    output = "".join(citations.feed(text[a:b]) for a, b in pairwise(borders)) + citations.finish()

    for n, start, end in citations.places:
        marker = read_marker(output, start)
        assert marker is not None
        assert marker.text == output[start:end]
        assert n in name_passages(marker, count)
    placed = {n for n, _, _ in citations.places}
    assert placed <= citations.cited
    if not set(text) & set("`~$\\"):
        assert placed == citations.cited


@given(TEXTS, COUNTS)
@example("[1]([1])", 0)
@example("[[9]7]", 3)
def test_removing_one_marker_does_not_form_another(text: str, count: int) -> None:
    """What closes up is no wrong marker; where it closes up to code or mathematics, it is none either."""
    assume(not set(text) & set("`~$\\"))
    output, _ = run([text], count)
    assert run([output], count)[0] == output


@given(st.text().filter(lambda text: not set(text) & set("[【［`$\\~") and text[-1:] not in (" ", "\t", "(")), COUNTS)
def test_text_without_brackets_passes_at_once(text: str, count: int) -> None:
    """Nothing waits when nothing can be a marker."""
    assert CitationFilter(count).feed(text) == text


# --- documents with markers in known places -------------------------------------------------------------------------

COUNT = 5
# What a model may write: the text, what must come out, and the passages that it cites.
Part = tuple[str, str, frozenset[int]]
WORDS = "sales|grew,|12 % more.|(net)|**bold**|*so*|2023|café|売上。|Company's|—|“fine”|$5|US$7"
CODES = st.text(st.sampled_from("ab[]190,- =()$\\"), min_size=1, max_size=12).filter(lambda code: code.strip() == code)
OTHERS = (
    "[9](http://x.y)|[see](http://x.y/[1])|[text][9]|a[0]|x[1][2]|f(x)[3]|[0, 1]|[0-9]+|[2024]|[sic]|[x]|y = [1, 2]|"
    "[-1]|\\(a [1]\\)|$x_{[1]}$|$$a [9]$$|the interval [2, 3]|\\[9\\]"
)
VALID = {
    "[1]": [1],
    "[5]": [5],
    "[1][3]": [1, 3],
    "[1, 2]": [1, 2],
    "[2-4]": [2, 3, 4],
    "【2】": [2],
    "【3†source】": [3],
    "［４］": [4],
    "[^5]": [5],
    "[Source 2]": [2],
    "(see [4])": [4],
    "[1, page 9]": [1],
    "[4;5]": [4, 5],
    "[2,]": [2],
}
WRONG = "[6]|[0]|[99,]|[7][8]|[6, 7]|【9】|【7†source】|［９］|[^66]|([6])|[4-9]|[5-6]"


def make_same(text: str) -> Part:
    return text, text, frozenset()


PARTS: st.SearchStrategy[Part] = st.one_of(
    st.sampled_from(WORDS.split("|")).map(lambda word: make_same(f" {word}")),
    CODES.map(lambda code: make_same(f" `{code}`")),
    st.sampled_from(OTHERS.split("|")).map(lambda text: make_same(f" {text} so")),
    st.sampled_from([(f" {text}", f" {text}", frozenset(cited)) for text, cited in VALID.items()]),
    st.sampled_from(WRONG.split("|")).map(lambda marker: (f" {marker}", "", frozenset())),
)
LINES = st.tuples(st.sampled_from(["", "- ", "3. ", "> ", "## ", "| ", "  * "]), st.lists(PARTS, max_size=8))
FENCES = st.tuples(st.sampled_from(["```", "~~~", "````"]), st.lists(CODES, max_size=3))


@st.composite
def write_documents(draw: st.DrawFn) -> Part:
    parts: list[Part] = []
    for block in draw(st.lists(LINES | FENCES, max_size=6)):
        head, inside = block
        if head in ("```", "~~~", "````"):
            parts.append(make_same("\n".join([f"{head}py", *map(str, inside), head, ""])))
        else:
            parts += [make_same(f"{head}Text"), *inside, make_same(draw(st.sampled_from(["\n", "\n\n"])))]
    texts, expected, cited = zip(*parts, strict=True) if parts else ((), (), ())
    return "".join(texts), "".join(expected), frozenset().union(*cited)


@given(write_documents(), st.lists(st.integers(0, 400)))
def test_a_document_keeps_all_but_its_wrong_markers(document: Part, cuts: list[int]) -> None:
    """Prose, code, links, lists, tables and mathematics with markers in known places: text and `cited` are exact."""
    text, expected, cited = document
    borders = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    assert run([text[a:b] for a, b in pairwise(borders)], COUNT) == (expected, set(cited))


# --- texts of others -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("as shown [2], [3-5] and [12, 13]", "as shown ⟦2⟧, ⟦3-5⟧ and ⟦12, 13⟧"),
        ("sales[1] 【1】 ［１］ [^1] [ 1 ] [[4]]", "sales⟦1⟧ ⟦1⟧ ⟦１⟧ ⟦^1⟧ ⟦ 1 ⟧ [⟦4⟧]"),
        ("[Source 2] [1, p. 3]", "⟦Source 2⟧ ⟦1, p. 3⟧"),
        ("chains [1][2][3], x[1][2], [see][4]", "chains ⟦1⟧⟦2⟧⟦3⟧, x[1][2], [see]⟦4⟧"),
        ("over a line end [1,\n2]", "over a line end ⟦1,\n2⟧"),
        ("[2024] EWCA, a[1], [0, 1], [sic], [1.5]", "[2024] EWCA, a[1], [0, 1], [sic], [1.5]"),
    ],
)
def test_brackets_of_a_passage_are_masked(text: str, masked: str) -> None:
    """A person still reads what stands there, and only what could be counted is touched."""
    assert mask_markers(text) == masked


@given(TEXTS)
def test_a_masked_text_is_never_a_citation(text: str) -> None:
    """Whatever a passage holds and whatever of it a model repeats, nothing is cited and nothing goes."""
    masked = mask_markers(text)
    assert mask_markers(masked) == masked
    for repeated in (masked, " ".join(masked.split("\n"))):
        assert run([repeated], 999) == (repeated, set())
