"""Routes of the names that can be asked for as `model`."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter

from services.gateway.api.dependencies import Gateway, GatewayDependencies
from services.gateway.api.openai_errors import OPENAI_ERRORS
from shared.contracts.openai import DEFAULT_MODEL, Model, ModelList
from shared.errors import NotFound

_CREATED: Final = int(datetime(2026, 11, 28, tzinfo=UTC).timestamp())
"""When these names came to be; clients want a number, and it must not differ between replicas."""

router = APIRouter(tags=["openai"], responses=OPENAI_ERRORS)


@router.get("/v1/models")
async def list_models(gateway: Gateway) -> ModelList:
    """Lists what can be asked for as `model`: `pagewire`, and `pagewire/NAME` for each configured provider."""
    return ModelList(data=_make_models(gateway.answers.models))


@router.get("/v1/models/{model_id:path}")
async def get_model(model_id: str, gateway: Gateway) -> Model:
    """Shows one of the names."""
    choose_provider(model_id, gateway)
    return next(model for model in _make_models(gateway.answers.models) if model.id == model_id)


def choose_provider(model: str, gateway: GatewayDependencies) -> str | None:
    """Return the provider that a name stands for, None for the default.

    Raises:
        NotFound: there is no such name.
    """
    names = {DEFAULT_MODEL: None, **{f"{DEFAULT_MODEL}/{name}": name for name in gateway.answers.models}}
    if model not in names:
        message = f"There is no model {model!r}; there are: {', '.join(names)}."
        raise NotFound(message, code="model_not_found", details={"problems": [{"field": "model"}]})
    return names[model]


def _make_models(providers: Collection[str]) -> list[Model]:
    return [
        Model(id=DEFAULT_MODEL, created=_CREATED, owned_by=DEFAULT_MODEL),
        *(Model(id=f"{DEFAULT_MODEL}/{name}", created=_CREATED, owned_by=name) for name in providers),
    ]
