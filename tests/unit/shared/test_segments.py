"""Words of scripts without spaces are found by BM25, and nothing changes for others."""

from collections.abc import Sequence

import pytest
import qdrant_edge
from hypothesis import given
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from shared.embedding.segments import part_passage, part_query
from shared.embedding.sparse import AVERAGE_CHUNK_TERMS, Bm25Encoder
from shared.vector_index.port import SparseVector

BM25 = Bm25Encoder()
OLD = qdrant_edge.Bm25(qdrant_edge.Bm25Config(avg_len=AVERAGE_CHUNK_TERMS, language="english", ascii_folding=True))
"""As passages were encoded before there were groups."""

CHINESE = (
    "起重机在十米处最多可吊起四十吨。每次使用前检查制动器。",
    "电池在充满电后可使用十二小时,冬季使用时间较短。",
    "故障代码E17表示风速计结冰,工作站会加热六分钟。",
    "保修期为两年,自购买之日起计算。猫不在保修范围内。",
)
JAPANESE = (
    "クレーンは十メートルで最大四十トンを吊り上げます。使用前にブレーキを点検してください。",
    "バッテリーは満充電で十二時間使えます。冬は短くなり\nます。",
    "エラーコードE17は風速計が凍結したことを示します。",
    "保証期間は購入日から二年です。",
)


def weigh(query: SparseVector, passage: SparseVector) -> float:
    """The score without inverse document frequencies."""
    weights = dict(zip(passage.indices, passage.values, strict=True))
    return sum(weights.get(term, 0.0) for term in query.indices)


def rank(question: str, passages: Sequence[str]) -> list[int]:
    """Numbers of the passages that have a term of the question, the best first."""
    query = BM25.encode_query(question)
    scores = [weigh(query, passage) for passage in BM25.encode_passages(passages)]
    return sorted((number for number, score in enumerate(scores) if score), key=lambda number: -scores[number])


@pytest.mark.parametrize(
    ("passages", "question", "best"),
    [
        (CHINESE, "起重机能吊多少吨?", 0),
        (CHINESE, "充满电的电池能用多久", 1),
        (CHINESE, "风速计", 2),
        (CHINESE, "E17", 2),
        (CHINESE, "猫", 3),
        (JAPANESE, "クレーン 最大", 0),
        (JAPANESE, "バッテリーは何時間使えますか", 1),
        (JAPANESE, "ﾊﾞｯﾃﾘｰ", 1),
        (JAPANESE, "なります", 1),
        (JAPANESE, "風速計の凍結", 2),
        (JAPANESE, "保証", 3),
        (("서울은 인구가 많다", "부산에서 배를 탔다"), "부산 여행", 1),
        (("กรุงเทพมหานครเป็นเมืองหลวง", "รถไฟฟ้าวิ่งทุกห้านาที"), "รถไฟฟ้า", 1),
    ],
)
def test_a_question_finds_the_passage_that_has_its_words(passages: Sequence[str], question: str, best: int) -> None:
    """Also a word in another width, one that is parted by a line's end, one of a single character."""
    assert rank(question, passages)[0] == best


@pytest.mark.parametrize("passages", [CHINESE, JAPANESE])
@pytest.mark.parametrize("question", ["起重机 吊起", "風速計 E17", "保修期为两年", "バッテリーの点検", "使用前 十二"])
def test_ranks_as_rank_bm25_does(passages: Sequence[str], question: str) -> None:
    """With the same groups, and the same weights: without those that rare terms get, which the index adds."""
    oracle = BM25Okapi([part_passage(text).lower().split() for text in passages], k1=1.2, b=0.75)
    oracle.avgdl = AVERAGE_CHUNK_TERMS
    oracle.idf = dict.fromkeys(oracle.idf, 1.0)
    scores = oracle.get_scores(list(dict.fromkeys(part_query(question).lower().split())))
    expected = sorted((number for number, score in enumerate(scores) if score > 0), key=lambda n: -scores[n])

    assert rank(question, passages) == expected


@given(st.lists(st.sampled_from([*"東京人口々〇カー한국กินລາວ𠀀a1 \n", "น้ำ"]), max_size=30))
def test_each_group_is_one_term(pieces: Sequence[str]) -> None:
    """The encoder parts none of them once more, and drops none."""
    text = "".join(pieces)
    groups = [group for group in part_passage(text).split() if not group.isascii()]

    assert all(len(OLD.embed_query(group).indices) == 1 for group in groups)


@given(st.text(st.characters(max_codepoint=0x0DFF).filter(lambda char: char.isascii() or not char.isdecimal())))
def test_other_scripts_are_as_they_were(text: str) -> None:
    """Nothing is encoded anew for them, but for digits."""
    assert part_passage(text) == part_query(text) == text


@pytest.mark.parametrize("digits", ["٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９"])
def test_a_figure_is_the_same_in_the_digits_of_every_script(digits: str) -> None:
    """Who asks for 2019 finds the Arabic page that has it in its own digits, and the other way round."""
    passages = ("2018 430", "2019 450", "2020 530")
    written = [passage.translate(dict(zip(map(ord, "0123456789"), digits, strict=True))) for passage in passages]

    for number, figure in enumerate(("430", "450", "530")):
        assert rank(figure, written) == [number]
        assert rank(written[number].split()[1], passages) == [number]
        assert BM25.list_terms(written[number]) == BM25.list_terms(passages[number])


def test_passages_of_before_are_found_as_before() -> None:
    """Documents that are ready keep their points: a clause between signs is still a term of the question."""
    old = OLD.embed_document("注意事项,冬季使用时间较短。")

    query = BM25.encode_query("什么时候 冬季使用时间较短")

    assert set(query.indices) & set(old.indices)
