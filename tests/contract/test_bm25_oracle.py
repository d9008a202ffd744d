"""The lexical leg, through encoder and engine, scores as BM25 is published: rank-bm25 is the oracle."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from shared.embedding.sparse import AVERAGE_CHUNK_TERMS, Bm25Encoder
from shared.identifiers import make_point_id
from shared.vector_index.edge_shard import EdgeShard
from shared.vector_index.port import ChunkPayload, IndexPoint, IndexQuery

BM25 = Bm25Encoder()
WORDS = tuple("amber basalt cedar delta ember fjord garnet harbour island juniper kelp lagoon marsh nettle".split())  # noqa: SIM905
RARE = ("quartz", "reef")
TEXTS = 120
K1, B = 1.2, 0.75


class Corpus:
    """Texts in an index of one tenant, beside texts of another that no score may depend on."""

    def __init__(self, folder: Path, seed: int) -> None:
        chooser = random.Random(seed)
        weights = [1 / (place + 1) for place in range(len(WORDS))]
        self.texts = [
            " ".join(chooser.choices(WORDS, weights, k=chooser.randint(1, 300)))
            + (f" {RARE[0]}" if n % 40 == 0 else "")
            for n in range(TEXTS)
        ]
        self.shard = EdgeShard(folder, 2)
        self._write("t", self.texts)
        self._write("other", [f"{RARE[0]} {RARE[1]}"] * TEXTS)

    def search(self, question: str) -> dict[int, float]:
        """Scores by the numbers of the texts, the best first."""
        query = IndexQuery([1.0, 0.0], BM25.encode_query(question), TEXTS)
        return {hit.payload.chunk_id: hit.score for hit in self.shard.search("t", query).bm25}

    def _write(self, tenant: str, texts: Sequence[str]) -> None:
        points = [
            IndexPoint(
                make_point_id(tenant, "d", "v", n), ChunkPayload("d", "v", n, "T", 1, 0, 1, ""), [1.0, 0.0], vector
            )
            for n, vector in enumerate(BM25.encode_passages(texts))
        ]
        self.shard.write(tenant, points)


@pytest.fixture(scope="module", params=[1, 2])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    made = Corpus(tmp_path_factory.mktemp("oracle") / "shard", request.param)
    yield made
    made.shard.close()


def make_oracle(texts: Sequence[str]) -> BM25Okapi:
    """rank-bm25 on the same terms, but for two things.

    The length that texts are measured by is a constant, so that a point's weights do not change when others come. And
    a word's weight is ln(1 + (N - n + 0.5) / (n + 0.5)), as in Lucene: without the 1 it is below 0 for words that are
    in more than half of the texts, which rank-bm25 replaces by a share of the mean.
    """
    oracle = BM25Okapi([BM25.list_terms(text) for text in texts], k1=K1, b=B)
    oracle.avgdl = AVERAGE_CHUNK_TERMS
    for term in oracle.idf:
        having = sum(term in frequencies for frequencies in oracle.doc_freqs)
        oracle.idf[term] = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
    return oracle


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*WORDS, *RARE, "the", "unknown"]), min_size=1, max_size=6, unique=True))
def test_scores_are_those_of_the_oracle(corpus: Corpus, words: list[str]) -> None:
    """To four digits, and so in the same order; what has no word of the question is not found."""
    expected = make_oracle(corpus.texts).get_scores(BM25.list_terms(" ".join(words)))
    found = corpus.search(" ".join(words))

    assert found == pytest.approx({n: score for n, score in enumerate(expected) if score > 0}, rel=1e-4)
