"""The Lua scripts of a document's ranges. Each is one atomic step, and may run twice for one call, as in `scripts.py`.

The keys of all of them: document, ranges, helpers, events, shared.

`ranges` is a hash with the plan (`version`, `title`, `chunks`, `range_chunks`), what is done (`done`, in chunks), how
many helpers were lost (`lost`), and for each range that is not free a mark under its number:

    done
    owner EPOCH             the worker that has the document has it; of an older epoch it is free
    helper EXPIRY TOKEN     a helper has it until then, in milliseconds of Redis's clock

`helpers` is a sorted set of the tokens by their expiry, and outlives the plan: as long as it is there a helper may be
writing. Both go by themselves.

A document whose workers die is not offered to more of them: no range whose helper was lost is given to another helper,
none at all after MAX_LOST, nor when a worker that had the document died and it has not got further since.
"""

from shared.lua_clock import FIND_TIME
from shared.registry.scripts import EMIT, RANKS

MAX_LOST = 3
"""Helpers that may be lost with ranges of one document. More are as likely to be lost as those."""
PLAN_MS = 24 * 3600 * 1000
"""How long the plan of a document that nobody works on is believed."""

_MARKS = (
    FIND_TIME
    + """
local function read_mark(mark)  -- kind, epoch or expiry, token
  return string.match(mark or '', '^(%a+) ?(%d*) ?(%w*)$')
end
local function keep_helper(number, token, lease_ms)
  local expiry = string.format('%.0f', find_time() + tonumber(lease_ms))
  redis.call('HSET', KEYS[2], number, 'helper ' .. expiry .. ' ' .. token)
  redis.call('ZADD', KEYS[3], expiry, token)
  redis.call('PEXPIRE', KEYS[3], math.max(redis.call('PTTL', KEYS[3]), tonumber(lease_ms)))
end
"""
)

# ARGV: epoch, member, version, title, chunks, range_chunks
OPEN = (
    RANKS
    + f"local PLAN_MS = {PLAN_MS}\n"
    + """
local status, epoch = unpack(redis.call('HMGET', KEYS[1], 'status', 'epoch'))
if not RANKS[status] or epoch ~= ARGV[1] then return 0 end
local plan = redis.call('HMGET', KEYS[2], 'version', 'title', 'chunks', 'range_chunks')
if plan[1] ~= ARGV[3] or plan[2] ~= ARGV[4] or plan[3] ~= ARGV[5] or plan[4] ~= ARGV[6] then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'version', ARGV[3], 'title', ARGV[4], 'chunks', ARGV[5], 'range_chunks', ARGV[6],
             'done', 0, 'lost', 0)
end
redis.call('PEXPIRE', KEYS[2], PLAN_MS)
redis.call('SADD', KEYS[5], ARGV[2])
return 1
"""
)

# ARGV: member
# Returns {version, title, chunks, range_chunks, text_key}; empty, and not offered any more, when there is nothing to
# help with.
LOOK = (
    RANKS
    + """
local plan = redis.call('HMGET', KEYS[2], 'version', 'title', 'chunks', 'range_chunks')
local status, text_key = unpack(redis.call('HMGET', KEYS[1], 'status', 'text_key'))
if plan[1] and RANKS[status] then
  plan[5] = text_key or ''
  return plan
end
redis.call('SREM', KEYS[5], ARGV[1])
return {}
"""
)

# ARGV: epoch, or empty for a helper; version; token and lease_ms of a helper
# Returns {'claimed', number}, {'held'}, {'done'} or {'gone'}.
CLAIM = (
    RANKS
    + _MARKS
    + f"local PLAN_MS, MAX_LOST = {PLAN_MS}, {MAX_LOST}\n"
    + """
local status, epoch, attempts = unpack(redis.call('HMGET', KEYS[1], 'status', 'epoch', 'attempts'))
local version, chunks, range_chunks, lost =
  unpack(redis.call('HMGET', KEYS[2], 'version', 'chunks', 'range_chunks', 'lost'))
local owner = ARGV[1] ~= ''
if not RANKS[status] or version ~= ARGV[2] or (owner and epoch ~= ARGV[1]) then return {'gone'} end
local count = math.ceil(chunks / range_chunks)
local marks, fields = {}, redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do marks[fields[i]] = fields[i + 1] end
local now, free, held = find_time(), nil, false
local dangerous = tonumber(attempts or 0) > 1 or tonumber(lost) >= MAX_LOST
for number = 0, count - 1 do
  local kind, term, token = read_mark(marks[tostring(number)])
  if kind == 'owner' and term == epoch then
    if owner then return {'claimed', number} end
    held = true
  elseif kind == 'helper' then
    if not owner and token == ARGV[3] then return {'claimed', number} end
    local over = tonumber(term) <= now
    dangerous = dangerous or over
    if owner and over then free = free or number else held = true end
  elseif kind ~= 'done' then
    free = free or number
  end
end
if free and not owner and dangerous then free, held = nil, true end
if not free then return {held and 'held' or 'done'} end
redis.call('PEXPIRE', KEYS[2], PLAN_MS)
if owner then
  local kind, _, token = read_mark(marks[tostring(free)])
  if kind == 'helper' then
    redis.call('HINCRBY', KEYS[2], 'lost', 1)
    redis.call('ZREM', KEYS[3], token)
  end
  redis.call('HSET', KEYS[2], free, 'owner ' .. epoch)
else
  keep_helper(free, ARGV[3], ARGV[4])
end
return {'claimed', free}
"""
)

# ARGV: version, number, token, lease_ms
KEEP = (
    RANKS
    + _MARKS
    + """
if not RANKS[redis.call('HGET', KEYS[1], 'status')] then return 0 end
local version, mark = unpack(redis.call('HMGET', KEYS[2], 'version', ARGV[2]))
local kind, _, token = read_mark(mark)
if version ~= ARGV[1] or kind ~= 'helper' or token ~= ARGV[3] then return 0 end
keep_helper(ARGV[2], ARGV[3], ARGV[4])
return 1
"""
)

# ARGV: version, number, token of a helper, epoch, or empty for a helper; now_ms
# What is done only grows, and as in UPDATE the attempts count anew where it gets beyond what any attempt reached;
# none is under way where the worker that had the document has given it back.
FINISH = (
    EMIT
    + RANKS
    + _MARKS
    + f"local PLAN_MS = {PLAN_MS}\n"
    + """
local status, epoch, chunks_done, attempts =
  unpack(redis.call('HMGET', KEYS[1], 'status', 'epoch', 'chunks_done', 'attempts'))
if not RANKS[status] or (ARGV[4] ~= '' and epoch ~= ARGV[4]) then return 0 end
local version, mark, chunks, range_chunks =
  unpack(redis.call('HMGET', KEYS[2], 'version', ARGV[2], 'chunks', 'range_chunks'))
if version ~= ARGV[1] then return 0 end
if mark == 'done' then return 1 end
local kind, term, token = read_mark(mark)
if ARGV[4] ~= '' then
  if kind ~= 'owner' or term ~= epoch then return 0 end
else
  if kind ~= 'helper' or token ~= ARGV[3] then return 0 end
  redis.call('ZREM', KEYS[3], token)
end
redis.call('HSET', KEYS[2], ARGV[2], 'done')
redis.call('PEXPIRE', KEYS[2], PLAN_MS)
local done = redis.call('HINCRBY', KEYS[2], 'done', math.min(range_chunks, chunks - ARGV[2] * range_chunks))
redis.call('HSET', KEYS[1], 'updated_at', ARGV[5])
if done > tonumber(chunks_done or 0) then
  redis.call('HSET', KEYS[1], 'chunks_done', done, 'attempts', math.min(attempts or 0, 1))
  emit(KEYS[1], KEYS[4], 'progress', status)
end
return 1
"""
)

# ARGV: version, number, token
GIVE_BACK = (
    _MARKS
    + """
redis.call('ZREM', KEYS[3], ARGV[3])
local version, mark = unpack(redis.call('HMGET', KEYS[2], 'version', ARGV[2]))
local kind, _, token = read_mark(mark)
if version == ARGV[1] and kind == 'helper' and token == ARGV[3] then redis.call('HDEL', KEYS[2], ARGV[2]) end
return 1
"""
)
