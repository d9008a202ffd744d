"""The scores of a measurement, question by question, and the file in which they are kept to be compared with.

    {"searched": {"tatqa · within · fused": {"@1": [1, 0.5, …], …}, …}, "questions": {"tatqa": "sha-256 of their ids"}}

as JSON, gzipped. Scores are in the order of the set's questions, rounded to three digits.
"""

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evals.retrieval.judgement import MEASURES, Measures
from evals.retrieval.question_sets import QuestionSet

BASELINE = Path(__file__).parent / "results" / "baseline.json.gz"
"""What measurements are compared with."""
Ranking = tuple[str, str, str]
"""A set, what of it was searched (`within`, `over all`) and the leg."""
Columns = Mapping[str, Sequence[float]]
"""The scores of all questions by measure."""
_SEPARATOR = " · "
_DIGITS = 3


@dataclass
class Scores:
    """Scores by ranking, and of each set which questions they belong to."""

    searched: dict[Ranking, Columns] = field(default_factory=dict)
    questions: dict[str, str] = field(default_factory=dict)

    def add(self, questions: QuestionSet, scope: str, leg: str, rows: Sequence[Measures]) -> None:
        """Add the measures of a set's questions, in their order."""
        columns = {measure: [round(row[measure], _DIGITS) for row in rows] for measure in MEASURES}
        self.searched[questions.name, scope, leg] = columns
        self.questions[questions.name] = _name_questions(questions)

    def find_comparable(self, ranking: Ranking, other: "Scores") -> Columns | None:
        """Return this ranking's columns in another measurement, where that asked the same questions."""
        if self.questions[ranking[0]] != other.questions.get(ranking[0]):
            return None
        return other.searched.get(ranking)

    def save(self, path: Path) -> None:
        """Write the file; the same scores give the same bytes."""
        searched = {_SEPARATOR.join(ranking): columns for ranking, columns in self.searched.items()}
        body = json.dumps({"searched": searched, "questions": self.questions}, separators=(",", ":"))
        path.write_bytes(gzip.compress(body.encode(), mtime=0))

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """Read a file that `save` has written."""
        content = json.loads(gzip.decompress(path.read_bytes()))
        searched: dict[Ranking, Columns] = {}
        for name, columns in content["searched"].items():
            set_name, scope, leg = name.split(_SEPARATOR)
            searched[set_name, scope, leg] = columns
        return cls(searched, content["questions"])


def _name_questions(questions: QuestionSet) -> str:
    ids = "\n".join(question.question_id for question in questions.questions)
    return hashlib.sha256(ids.encode()).hexdigest()
