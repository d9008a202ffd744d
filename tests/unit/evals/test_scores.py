"""Measurements are kept, compared question by question, and written as table and plot."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from evals.retrieval.judgement import MEASURES
from evals.retrieval.question_sets import Evidence, Question, QuestionSet
from evals.retrieval.report import count_gains, write_report
from evals.retrieval.scores import Scores
from evals.retrieval.statistics import compare, estimate_mean


def make_scores(*values: float, ids: str = "abcdefghij") -> Scores:
    questions = QuestionSet("made", [], [Question(one, "?", "d", Evidence(pages=[1])) for one in ids])
    scores = Scores()
    scores.add(questions, "within", "fused", [dict.fromkeys(MEASURES, value) for value in values])
    return scores


def test_scores_are_read_back_as_they_were_and_written_the_same_each_time(tmp_path: Path) -> None:
    scores = make_scores(0, 0.25, 1)
    scores.save(tmp_path / "a")
    loaded = Scores.load(tmp_path / "a")
    loaded.save(tmp_path / "b")

    assert loaded == scores
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_questions_are_not_compared() -> None:
    ranking = ("made", "within", "fused")
    assert make_scores(1).find_comparable(ranking, make_scores(0)) is not None
    assert make_scores(1).find_comparable(ranking, make_scores(0, ids="abc")) is None
    assert make_scores(1).find_comparable(ranking, Scores()) is None


def test_an_interval_holds_the_mean_and_narrows_with_more_questions() -> None:
    few, many = estimate_mean([0, 1] * 10), estimate_mean([0, 1] * 1000)
    assert few.low < few.mean == 0.5 < few.high
    assert few.high - few.low > 5 * (many.high - many.low)
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.5 / 2000**0.5, rel=0.1)
    with pytest.raises(ValueError, match="nothing"):
        estimate_mean([])


def test_paired_differences_see_what_unpaired_means_hide() -> None:
    before = [0.0, 0.5, 1.0] * 20
    gain = compare(before, [one + 0.01 for one in before])
    assert gain.is_certain
    assert gain.low == pytest.approx(0.01)
    assert not compare([0, 1] * 20, [1, 0] * 20).is_certain


def test_the_report_says_what_is_better_and_worse(tmp_path: Path) -> None:
    before, after = make_scores(*[0, 0.5] * 5), make_scores(*[0.5, 1] * 5)
    write_report(after, before, tmp_path)
    table = (tmp_path / "retrieval.md").read_text()

    assert "| made (10) within, fused | .750 [" in table
    assert "| made (10) within, fused | **+0.500 [+0.500, +0.500]**" in table
    assert count_gains(after, before) in table
    assert count_gains(before, after) == "Of 6 fused figures 0 are better with confidence, 6 are worse."
    circles = ET.parse(tmp_path / "retrieval.svg").getroot().findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2
