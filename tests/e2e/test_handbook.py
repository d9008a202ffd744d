"""The quality that the project promises, by its own evals, over HTTP, on the standalone system."""

from evals.handbook import main


def test_handbooks_are_answered_from_the_right_pages(standalone_url: str) -> None:
    """Those on which no threshold was chosen, so that no rule can live off knowing one PDF; `make eval` asks all 24."""
    assert main(["--url", standalone_url, "--made", "held-out"]) == 0
