"""Count how often a citation's verdict is right: on made-up sentences, and on extractive answers, whole and corrupted.

    python -m evals.evidence                  # the made-up sentences of evals/citations, without a server
    python -m evals.evidence --handbooks      # also the answers to all questions about the made-up handbooks
    python -m evals.evidence --handbooks --url http://…        # on a server that runs

An extractive answer stands word by word in its passage, so none of its citations may be `false`. Corrupted by one
digit, one name or another passage's number, as many as possible should be. Ends with exit status 1 where a whole answer
is flagged, or a verdict on the made-up sentences is wrong.
"""

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from evals.handbook import HANDBOOKS, TOP_K, load_folder, open_server, upload
from services.gateway.answers.citations import CitationFilter
from services.gateway.answers.evidence import EvidenceCheck
from shared.contracts.questions import Citation, QueryResponse
from shared.contracts.search import Passage, StageScores

SENTENCES = Path(__file__).parent / "citations"

_DIGIT = re.compile(r"(?<!\[)\d(?!\d{0,2}\])")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}(?= [A-Z][a-z]{3,})(?: [A-Z][a-z]{3,})+")
_MARKER = re.compile(r"\[(\d+)\]")
_OTHER_NAME = "Ottoline Quagmire"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evals.evidence", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--handbooks", action="store_true", help="ask about the made-up handbooks, too")
    parser.add_argument("--url", help="a running gateway; default: start the standalone server")
    options = parser.parse_args(arguments)
    wrong = sum(_measure_sentences(file) for file in sorted(SENTENCES.glob("*.jsonl")))
    if options.handbooks:
        with open_server(options.url) as url, httpx.Client(base_url=url, timeout=180) as client:
            wrong += measure_answers(list(_ask_all(client)))
    return 1 if wrong else 0


def read_sentences(file: Path) -> list[dict[str, Any]]:
    """Return the cases of a file: passages, an answer, and the verdict on each passage that it cites, in order."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def judge_sentence(case: dict[str, Any]) -> list[Citation]:
    """Return the citations of a case."""
    passages = [make_passage(text, case.get("title", "Document")) for text in case["passages"]]
    check = EvidenceCheck(case.get("question", "What does it say?"), passages)
    return check_whole(check, case["answer"], len(passages))


def check_whole(check: EvidenceCheck, answer: str, passage_count: int) -> list[Citation]:
    """Return the citations of an answer that has passed the filter, as they are when it streams."""
    citations = CitationFilter(passage_count)
    passed = citations.feed(answer) + citations.finish()
    return check.check_answer(passed, citations.places)


def make_passage(text: str, title: str) -> Passage:
    """Return a passage with this text."""
    scores = StageScores(fused=1)
    return Passage(
        document_id="d", chunk_id=0, title=title, page=1, start=0, end=len(text), text=text, score=1, scores=scores
    )


def _measure_sentences(file: Path) -> int:
    """Print how right the verdicts on a file of cases are; return how many are wrong."""
    pairs: Counter[tuple[str, str]] = Counter()
    for case in read_sentences(file):
        verdicts = [str(citation.supported) for citation in judge_sentence(case)]
        expected = [str(supported) for _, supported in case["expected"]]
        if verdicts != expected:
            print(f"{case['id']}: {verdicts} instead of {expected}")
        pairs.update(zip(expected, verdicts, strict=True))
    print(f"\n{file.name}: {pairs.total()} citations")
    for verdict in ("False", "True"):
        right = pairs[verdict, verdict]
        said = sum(count for (_, was), count in pairs.items() if was == verdict)
        wanted = sum(count for (should, _), count in pairs.items() if should == verdict)
        print(f"  {verdict.lower():<6} precision {right}/{said} · recall {right}/{wanted}")
    return sum(count for (should, was), count in pairs.items() if should != was)


def _ask_all(client: httpx.Client) -> Iterator[tuple[str, QueryResponse]]:
    for folder in sorted(file.parent for file in HANDBOOKS.glob("*/*/questions.jsonl")):
        questions = load_folder(folder)
        document_id = upload(client, questions)
        for question in questions.questions:
            body = {"question": question["question"], "top_k": TOP_K, "document_ids": [document_id]}
            response = client.post("/query", json=body)
            response.raise_for_status()
            yield question["question"], QueryResponse.model_validate_json(response.content)


def measure_answers(answers: Sequence[tuple[str, QueryResponse]]) -> int:
    """Print what is flagged of answers as they are and corrupted; return how many are flagged as they are."""
    chance = random.Random(1)
    whole: Counter[str] = Counter()
    flagged: dict[str, Counter[bool]] = {"a digit": Counter(), "a name": Counter(), "the passage": Counter()}
    for question, answer in answers:
        passages = [make_passage(source.text, source.title) for source in answer.sources]
        check = EvidenceCheck(question, passages)
        whole.update(str(citation.supported).lower() for citation in check_whole(check, answer.answer, len(passages)))
        for kind, corrupted in _corrupt(answer, chance):
            verdicts = [citation.supported for citation in check_whole(check, corrupted, len(passages))]
            flagged[kind][False in verdicts] += 1
    print(f"\nextractive answers as they are: {dict(whole)}")
    for kind, counts in flagged.items():
        print(f"  corrupted by {kind}: {counts[True]} of {counts.total()} answers flagged")
    return whole["false"]


def _corrupt(answer: QueryResponse, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Yield the answer with one thing changed, in each way that it allows."""
    text = answer.answer
    # Within what a marker stands for: an extractive answer also quotes header lines, which nothing is cited for.
    claims = [text[citation.claim.start : citation.claim.end] for citation in answer.citations if citation.claim]
    if digits := [match for claim in claims for match in [_DIGIT.search(claim)] if match]:
        match = chance.choice(digits)
        other = str((int(match[0]) + chance.randint(1, 8)) % 9 + 1) if match[0] != "9" else "4"
        changed = match.string[: match.start()] + (other if other != match[0] else "7") + match.string[match.end() :]
        yield "a digit", text.replace(match.string, changed, 1)
    if names := [match for claim in claims for match in _NAME.finditer(claim)]:
        yield "a name", text.replace(chance.choice(names)[0], _OTHER_NAME, 1)
    if any(map(str.isdigit, "".join(claims))) and len(answer.sources) > 1:
        count = len(answer.sources)
        yield "the passage", _MARKER.sub(lambda marker: f"[{int(marker[1]) % count + 1}]", text)


if __name__ == "__main__":
    sys.exit(main())
