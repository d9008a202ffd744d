"""One suite on every document registry: cards are those of what searches see, and of the tenant alone."""

import asyncio

from redis.asyncio import Redis

from shared.registry.cards import MAX_FOUND, MAX_KNOWN, Card
from shared.registry.port import NewDocument
from tests.contract.test_registry import FAILURE, AnyRegistry, claim, make_new, registry
from tests.contract.test_versions import make_content, make_job
from tests.redis_registry import ExpiringRegistry

__all__ = ["registry"]

NIKE: Card = {"nike": 1.0, "2018": 0.5, "10k": 1.0}


async def publish(registry: AnyRegistry, new: NewDocument, card: Card, version: str = "v1") -> None:
    lease = await claim(registry, new, f"w-{version}")
    await registry.publish(lease, version, [], card)
    await registry.release(lease)


async def add(registry: AnyRegistry, card: Card, sha256: str = "aa", tenant: str = "t") -> NewDocument:
    new = make_new(sha256, tenant=tenant)
    await registry.create(new)
    await publish(registry, new, card)
    return new


async def find(registry: AnyRegistry, *terms: str, tenant: str = "t") -> dict[str, dict[str, float]]:
    found = await registry.find_cards(tenant, terms)
    return {term: dict(weights) for term, weights in found.weights.items()}


async def test_documents_are_found_by_the_terms_of_their_cards(registry: AnyRegistry) -> None:
    """With weights and counts; what no card has is left out, and other tenants' cards are not there."""
    nike, other = await add(registry, NIKE), await add(registry, {"adidas": 1.0, "2018": 1.0}, "bb")
    await add(registry, NIKE, "cc", tenant="u")

    found = await registry.find_cards("t", ["nike", "2018", "puma"])

    assert (found.cards, found.counts) == (2, {"nike": 1, "2018": 2})
    assert found.weights == {
        "nike": {nike.document_id: 1.0},
        "2018": {nike.document_id: 0.5, other.document_id: 1.0},
    }
    assert (await registry.find_cards("v", ["nike"])).cards == 0
    assert (await registry.find_cards("t", [])).weights == {}


async def test_a_deleted_document_has_no_card(registry: AnyRegistry) -> None:
    """From the moment on in which it is deleted; nor has one that waits or has failed, or that is made without one."""
    nike = await add(registry, NIKE)
    waiting, failed = make_new("bb"), make_new("cc")
    await registry.create(waiting)
    await registry.create(failed)
    await registry.fail(await claim(registry, failed), FAILURE)
    await add(registry, {}, "dd")
    assert (await registry.find_cards("t", ["nike"])).cards == 1

    await registry.delete("t", nike.document_id)

    assert await find(registry, "nike", "2018", "10k") == {}
    assert (await registry.find_cards("t", ["nike"])).cards == 0


async def test_the_card_is_that_of_the_version_that_is_searched(registry: AnyRegistry) -> None:
    """A replacement has its own from the moment on in which it is searched; one that fails changes nothing."""
    new = await add(registry, NIKE)
    await registry.replace(make_job(new), make_content(new))
    lease = await claim(registry, new)
    assert await find(registry, "nike") == {"nike": {new.document_id: 1.0}}
    await registry.fail(lease, FAILURE)
    await registry.release(lease)
    assert await find(registry, "nike") == {"nike": {new.document_id: 1.0}}

    await registry.replace(make_job(new), make_content(new, "cc", upload="2"))
    await publish(registry, new, {"adidas": 1.0}, "v2")

    assert await find(registry, "nike", "2018", "adidas") == {"adidas": {new.document_id: 1.0}}
    assert (await registry.find_cards("t", ["adidas"])).cards == 1


async def test_a_document_whose_points_are_lost_has_no_card_until_it_is_made(registry: AnyRegistry) -> None:
    """As it has no version."""
    new = await add(registry, NIKE)

    await registry.rebuild(make_job(new))
    assert await find(registry, "nike") == {}

    await publish(registry, new, NIKE, "v2")
    assert await find(registry, "nike") == {"nike": {new.document_id: 1.0}}


async def test_a_term_of_too_many_only_tells_apart_what_rarer_ones_have_found(registry: AnyRegistry) -> None:
    """So that a search reads some hundreds of weights, however many documents there are of a year."""
    nike = await add(registry, NIKE, "nike")
    await asyncio.gather(*(add(registry, {"2018": 1.0}, f"{n:04}") for n in range(MAX_FOUND)))

    found = await registry.find_cards("t", ["2018", "nike"])

    assert found.counts == {"nike": 1, "2018": MAX_FOUND + 1}
    assert found.weights == {"nike": {nike.document_id: 1.0}, "2018": {nike.document_id: 0.5}}
    assert (await registry.find_cards("t", ["2018"])).weights == {"2018": {}}


async def test_of_many_terms_the_rarest_are_looked_up(registry: AnyRegistry) -> None:
    """Redis serves nobody else meanwhile, so the words of a long question are not all worth it."""
    common = {f"w{n:03}": 1.0 for n in range(MAX_KNOWN)}
    await add(registry, common, "common")
    rare = await add(registry, {**common, "zebra": 1.0}, "rare")

    found = await registry.find_cards("t", [*common, "zebra"])

    assert len(found.counts) == MAX_KNOWN
    assert found.weights["zebra"] == {rare.document_id: 1.0}
    assert f"w{MAX_KNOWN - 1:03}" not in found.counts


async def test_what_is_left_of_a_document_that_an_older_release_deleted_goes_with_it(redis: Redis) -> None:
    """One of before there were cards leaves its card in the lists; words of a deleted document must not stay."""
    registry = ExpiringRegistry(redis)
    new = await add(registry, NIKE)
    await registry.delete("t", new.document_id)
    key = f"pagewire:t:document:{new.document_id}"
    async with redis.pipeline() as commands:
        commands.hset(key, "card", "nike 1")
        commands.zadd("pagewire:t:cards:.nike", {new.document_id: 1.0})
        commands.sadd("pagewire:t:cards", new.document_id)
        await commands.execute()

    await registry.forget(make_job(new))

    assert await redis.exists("pagewire:t:cards", "pagewire:t:cards:.nike") == 0
