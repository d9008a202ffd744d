"""Cards of documents: what each may be called by, and the lists in which searches look for that.

A card belongs to the version that searches see. It is the field `card` of the record, and `pagewire:T:cards:.TERM`, a
sorted set, has the ids of the documents with TERM on their cards by its weight; `pagewire:T:cards` has all that have a
card. Who changes what searches see keeps these in the same step: see FINISH, DELETE and REBUILD.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Card = Mapping[str, float]
"""Terms with weights of 0 to 1. A term is a word without spaces."""
NO_CARD: Card = {}

MAX_FOUND = 500
"""Documents that one search looks at. A term that more have only tells apart those that rarer ones have found."""
MAX_KNOWN = 60
"""Terms that are looked up among those documents, the rarest. Nobody else is served meanwhile: as many terms and
documents at once take Redis some milliseconds."""


@dataclass(frozen=True)
class CardMatches:
    """Which cards have the terms of a question.

    Attributes:
        cards: how many documents have a card.
        counts: by term, how many have it; those that none has are left out.
        weights: by term, the documents found that have it, with its weight on their cards.
    """

    cards: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def dump_card(card: Card) -> str:
    """Return a card as its record has it: term, weight, term, weight …"""
    return " ".join(f"{term} {weight:g}" for term, weight in card.items())


def find_matches(cards: Mapping[str, Card], terms: Sequence[str]) -> CardMatches:
    """Return what FIND_CARDS finds, of cards in memory by document."""
    having: dict[str, list[str]] = {}
    wanted = set(terms)
    for document_id, card in cards.items():
        for term in card.keys() & wanted:
            having.setdefault(term, []).append(document_id)
    rarest = sorted((len(ids), term) for term, ids in having.items())[:MAX_KNOWN]
    found: set[str] = set()
    for count, term in rarest:
        if len(found) + count > MAX_FOUND:
            break
        found.update(having[term])
    return CardMatches(
        len(cards),
        {term: count for count, term in rarest},
        {term: {i: cards[i][term] for i in having[term] if i in found} for _, term in rarest},
    )


def parse_matches(reply: Sequence[object]) -> CardMatches:
    """Return what FIND_CARDS has found: documents with a card, then for each term it, its count, and a flat list of
    documents and weights."""
    total, *rows = reply
    counts: dict[str, int] = {}
    weights: dict[str, dict[str, float]] = {}
    for term, count, pairs in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert isinstance(term, str) and isinstance(count, int) and isinstance(pairs, list)  # noqa: S101, PT018
        counts[term] = count
        weights[term] = dict(zip(pairs[::2], map(float, pairs[1::2]), strict=True))
    assert isinstance(total, int)  # noqa: S101
    return CardMatches(total, counts, weights)


# Lua for the scripts that publish and delete: takes a document's card out of the lists, or puts it in.
CARDS = """
local function unlist_card(document)
  local card = redis.call('HGET', document, 'card') or ''
  if card == '' then return end
  local tenant, id = string.match(document, '^(.*):document:(.*)$')
  for term in string.gmatch(card, '(%S+) %S+') do redis.call('ZREM', tenant .. ':cards:.' .. term, id) end
  redis.call('SREM', tenant .. ':cards', id)
  redis.call('HDEL', document, 'card')
end
local function list_card(document)
  local card = redis.call('HGET', document, 'card') or ''
  if card == '' then return end
  local tenant, id = string.match(document, '^(.*):document:(.*)$')
  for term, weight in string.gmatch(card, '(%S+) (%S+)') do
    redis.call('ZADD', tenant .. ':cards:.' .. term, weight, id)
  end
  redis.call('SADD', tenant .. ':cards', id)
end
"""

# KEYS: cards   ARGV: most documents, term, …
# Finds documents by the rarest terms first; those of a term that would be too many are only looked up among them.
FIND_CARDS = """
local found, order, ids, known = {}, {}, {}, {}
for i = 2, #ARGV do
  local key = KEYS[1] .. ':.' .. ARGV[i]
  local count = redis.call('ZCARD', key)
  if count > 0 then order[#order + 1] = {ARGV[i], count, key} end
end
table.sort(order, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
for i = #order, MAX_KNOWN + 1, -1 do order[i] = nil end
for _, term in ipairs(order) do
  if #ids + term[2] > tonumber(ARGV[1]) then break end
  for _, id in ipairs(redis.call('ZRANGE', term[3], 0, -1)) do
    if not known[id] then ids[#ids + 1], known[id] = id, true end
  end
end
found[1] = redis.call('SCARD', KEYS[1])
for _, term in ipairs(order) do
  local pairs_ = {}
  if #ids > 0 then
    for i, weight in ipairs(redis.call('ZMSCORE', term[3], unpack(ids))) do
      if weight then pairs_[#pairs_ + 1], pairs_[#pairs_ + 2] = ids[i], weight end
    end
  end
  found[#found + 1], found[#found + 2], found[#found + 3] = term[1], term[2], pairs_
end
return found
""".replace("MAX_KNOWN", str(MAX_KNOWN))
