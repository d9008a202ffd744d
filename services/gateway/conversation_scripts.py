"""The Lua scripts of conversations: each one is a single atomic step, and may run twice for one call.

A conversation is one hash, so that it expires and is deleted as a whole:

    incarnation             a token of this conversation, which a later one of the same id does not have
    title, updated_at       the first question; milliseconds
    first, last             numbers of the oldest and the newest turn that is kept
    characters              of all turns
    turn:N                  "CHARACTERS RUN_ID JSON"
    run:RUN_ID              N: so that a turn that is added again is not there twice
    deleted                 of one that was deleted: the token of that call, for a minute, or as long as its successor

All times are Redis's own: a gateway whose clock is wrong ends no conversation of another's early. In the index they
have a fraction, so that no two uses are at one time.

Until its first turn is kept it has an incarnation and nothing else, is in no list, and expires with its run.
"""

from shared.lua_clock import FIND_TIME

_NOTE_USE = (
    FIND_TIME
    + """
local function note_use(conversation, index, id, ttl_ms)
  local now = find_time()
  redis.call('HSET', conversation, 'updated_at', string.format('%d', now))
  redis.call('PEXPIRE', conversation, ttl_ms)
  redis.call('ZADD', index, string.format('%.3f', now), id)
  redis.call('PEXPIRE', index, ttl_ms)
  return now
end
"""
)

# KEYS: conversation, index   ARGV: incarnation, ttl_ms, begun_ms, id. Returns the hash.
OPEN = (
    _NOTE_USE
    + """
redis.call('HSETNX', KEYS[1], 'incarnation', ARGV[1])
if redis.call('HEXISTS', KEYS[1], 'title') == 1 then
  note_use(KEYS[1], KEYS[2], ARGV[4], ARGV[2])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return redis.call('HGETALL', KEYS[1])
"""
)

EVICTED_AT_ONCE = 100
"""So many conversations go in one step when the bound was lowered; otherwise one goes."""

# KEYS: conversation, index   ARGV: incarnation, ttl_ms, id, run_id, turn, characters, title, max_turns,
# max_characters, max_conversations, prefix of conversations' keys. Returns 0 when the incarnation is gone.
ADD = (
    _NOTE_USE
    + f"local EVICTED_AT_ONCE = {EVICTED_AT_ONCE}\n"
    + """
if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[1], 'run:' .. ARGV[4]) == 1 then return 1 end
local last = redis.call('HINCRBY', KEYS[1], 'last', 1)
local characters = redis.call('HINCRBY', KEYS[1], 'characters', ARGV[6])
redis.call('HSET', KEYS[1], 'turn:' .. last, ARGV[6] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5], 'run:' .. ARGV[4], last)
redis.call('HSETNX', KEYS[1], 'title', ARGV[7])
local first = tonumber(redis.call('HGET', KEYS[1], 'first') or 1)
while first < last and (last - first >= tonumber(ARGV[8]) or characters > tonumber(ARGV[9])) do
  local size, run_id = string.match(redis.call('HGET', KEYS[1], 'turn:' .. first), '^(%d+) (%S+) ')
  redis.call('HDEL', KEYS[1], 'turn:' .. first, 'run:' .. run_id)
  characters = redis.call('HINCRBY', KEYS[1], 'characters', '-' .. size)
  first = first + 1
end
redis.call('HSET', KEYS[1], 'first', first)
local now = note_use(KEYS[1], KEYS[2], ARGV[3], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. string.format('%.3f', now - ARGV[2]))
local excess = math.min(redis.call('ZCARD', KEYS[2]) - ARGV[10], EVICTED_AT_ONCE)
if excess > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, excess - 1)) do
    if id ~= ARGV[3] then
      redis.call('UNLINK', ARGV[11] .. id)
      redis.call('ZREM', KEYS[2], id)
    end
  end
end
return 1
"""
)

# KEYS: index   ARGV: ttl_ms, offset, limit, prefix of conversations' keys
# Returns how many there are, and of each its id, title, first, last, updated_at. Writes nothing: it is for a Redis that
# cannot, too.
LIST = (
    FIND_TIME
    + """
local found, oldest = {}, string.format('%.3f', find_time() - ARGV[1])
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', oldest, 'LIMIT', ARGV[2], ARGV[3])) do
  local row = redis.call('HMGET', ARGV[4] .. id, 'title', 'first', 'last', 'updated_at')
  if row[1] then found[#found + 1] = {id, row[1], row[2], row[3], row[4]} end
end
return {redis.call('ZCOUNT', KEYS[1], oldest, '+inf'), found}
"""
)

# KEYS: conversation, index   ARGV: id, token, deleted_ms. Returns 0 when there is none.
DELETE = """
if redis.call('HGET', KEYS[1], 'deleted') == ARGV[2] then return 1 end
if redis.call('HEXISTS', KEYS[1], 'incarnation') == 0 then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'deleted', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""
