"""Question sets are read from the files of the data folder, whole or thinned."""

import json
from pathlib import Path

import pytest

from evals.retrieval.question_sets import HELD_OUT, load_set


def write_passages(data: Path, documents: int) -> None:
    (data / "passages").mkdir()
    rows = [
        {"set": "cranfield", "id": f"cranfield/{n}", "title": "", "text": f"flow {n}" if n != 1 else ""}
        for n in range(documents)
    ]
    questions = [
        {"set": "cranfield", "id": "all", "question": "?", "relevant": {"cranfield/0": 4, "cranfield/2": 1}},
        {"set": "cranfield", "id": "left out", "question": "?", "relevant": {"cranfield/2": 2}},
        {"set": "tatqa", "id": "other", "question": "?", "document": "tatqa/0", "spans": [[0, 4]]},
    ]
    for name, lines in (("documents", rows), ("questions", questions)):
        (data / "passages" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_thinned_set_asks_only_what_its_documents_answer(tmp_path: Path) -> None:
    write_passages(tmp_path, 4)
    whole, thinned = load_set("cranfield", tmp_path, whole=True), load_set("cranfield", tmp_path)

    # An empty abstract is none; of the three others every second is taken.
    assert [one.name for one in whole.documents] == [f"cranfield/{n}.txt" for n in (0, 2, 3)]
    assert [one.name for one in thinned.documents] == ["cranfield/0.txt", "cranfield/3.txt"]
    assert [one.question_id for one in whole.questions] == ["all", "left out"]
    assert [(one.question_id, one.evidence.documents) for one in thinned.questions] == [("all", {"cranfield/0.txt": 4})]
    assert whole.scopes == {"over all": False}


def test_spans_of_a_text_are_counted_in_its_bytes_as_they_are_decoded(tmp_path: Path) -> None:
    """Windows' line ends stay: the places of the evidence count them."""
    (tmp_path / "chunking").mkdir()
    (tmp_path / "chunking" / "wikitexts.md").write_bytes("Käse\r\nWein".encode())
    references = json.dumps([{"content": "Wein", "start_index": 6, "end_index": 10}]).replace('"', '""')
    (tmp_path / "chunking" / "questions_df.csv").write_text(
        f'question,references,corpus_id\nWhat to drink?,"{references}",wikitexts\n'
    )
    questions = load_set("chunking", tmp_path)
    ((start, end),) = questions.questions[0].evidence.spans

    assert questions.documents[0].is_text
    assert questions.documents[0].content.decode()[start:end] == "Wein"


def test_the_held_out_handbooks_come_with_the_project(tmp_path: Path) -> None:
    questions = load_set(HELD_OUT, tmp_path)

    assert (questions.name, len(questions.documents), len(questions.questions)) == (HELD_OUT, 7, 122)
    assert questions.scopes == {"within": True, "over all": False}


def test_a_set_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    write_passages(tmp_path, 1)
    with pytest.raises(SystemExit, match="'xquad'"):
        load_set("xquad", tmp_path)
