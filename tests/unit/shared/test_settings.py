"""Settings come from the environment; an empty variable is an unset one."""

from pathlib import Path

import pytest

from services.gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.retrieval.settings import RetrievalSettings
from shared.settings import SharedSettings, load_settings


@pytest.mark.parametrize("kind", [GatewaySettings, IngestSettings, RetrievalSettings])
def test_empty_variables_are_unset(kind: type[SharedSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compose passes unset variables on as empty ones: every service takes its defaults, and the same ones."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "PAGEWIRE_LLM_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    plain = load_settings(kind)
    for field in kind.model_fields:
        monkeypatch.setenv(f"PAGEWIRE_{field.upper()}", "")
    monkeypatch.setenv("OPENAI_API_KEY", "")

    assert load_settings(kind) == plain


def test_a_wrong_value_ends_with_its_variables_name_and_not_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a problem; the value may be a key."""
    monkeypatch.setenv("PAGEWIRE_REDIS_TIMEOUT_S", "sk-secret")

    with pytest.raises(SystemExit) as caught:
        load_settings(SharedSettings)

    assert "PAGEWIRE_REDIS_TIMEOUT_S" in str(caught.value)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis+cluster://a:1,b:2/3", "rediss+cluster://user:secret@a/1", "redis+cluster://a?db=2"]
)
def test_a_database_of_a_cluster_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has only one; data that is meant to be apart would be among that of others. What the URL holds is not said."""
    monkeypatch.setenv("PAGEWIRE_REDIS_URL", url)

    with pytest.raises(SystemExit, match=r"PAGEWIRE_REDIS_URL.* only database 0") as caught:
        load_settings(SharedSettings)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis+cluster://a:1,b:2", "redis+cluster://a:1/0?db=0", "redis://a/3", "unix:///s?db=3"]
)
def test_other_databases_are_not_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a cluster is the one that it has; a single Redis has sixteen."""
    monkeypatch.setenv("PAGEWIRE_REDIS_URL", url)

    assert load_settings(SharedSettings).redis_url == url
