"""The Lua scripts that make a document anew: of other bytes, by other code, or because its points are lost.

As those in `scripts.py` each is one atomic step and may run twice for one call, the second time perhaps much later: it
names the edition or the version that it is about, and changes nothing once that is another one.
"""

from shared.registry.cards import CARDS
from shared.registry.scripts import CHANGE, EMIT, LIVE, RANKS

TAKEN_LENGTH = 4000
"""Characters of the names of the last replacements' bytes: some 70."""

_BEGIN = """
local function begin_anew(document, pending, events, ranges, member, now, background)
  local status, edition = unpack(redis.call('HMGET', document, 'status', 'edition'))
  redis.call('HSET', document, 'status', 'queued', 'failure', '', 'replacement', '', 'warnings', '', 'attempts', 0,
             'updated_at', now, 'edition', (edition or 1) + 1, 'background', background,
             'pages_total', 0, 'pages_done', 0, 'chunks_total', 0, 'chunks_done', 0)
  redis.call('HINCRBY', document, 'epoch', 1)
  redis.call('SADD', pending, member)
  redis.call('HDEL', document, 'text_key')
  redis.call('DEL', ranges)  -- who helps with the edition before finds nothing more to do
  if not RANKS[status] then redis.call('DEL', events) end  -- it has its end
  emit(document, events, 'progress', 'queued')
end
"""

# KEYS: document, identities, pending, events, content, ranges, purged
# ARGV: id, member, now_ms, edition, identity, filename, sha256, size_bytes, blob
# Gives a document other bytes or another name. Returns {what, record as field, value, …}: `taken`, or `same` where it
# has them already; or {what, id}: `missing`, `changed` where it has another edition, `known` where another document has
# them.
REPLACE = (
    EMIT
    + RANKS
    + LIVE
    + _BEGIN
    + f"local TAKEN_LENGTH = {TAKEN_LENGTH}\n"
    + """
local status, edition, identity, taken = unpack(redis.call('HMGET', KEYS[1], 'status', 'edition', 'identity', 'taken'))
if not status or status == 'deleted' then return {'missing', ARGV[1]} end
taken = taken or ''
if string.find(' ' .. taken, ' ' .. ARGV[9] .. ' ', 1, true) then
  -- This call has run before; perhaps others came after it.
  return {'taken', unpack(redis.call('HGETALL', KEYS[1]))}
end
if (edition or '1') ~= ARGV[4] then return {'changed', ARGV[1]} end
if identity == ARGV[5] and status ~= 'failed' then return {'same', unpack(redis.call('HGETALL', KEYS[1]))} end
local other = redis.call('HGET', KEYS[2], ARGV[5])
if other and other ~= ARGV[1] then
  local its_status = redis.call('HGET', string.sub(KEYS[1], 1, -(#ARGV[1] + 1)) .. other, 'status')
  if its_status and its_status ~= 'deleted' then return {'known', other} end
  redis.call('HDEL', KEYS[2], ARGV[5])
end
if status == 'ready' then
  redis.call('HSET', KEYS[1], 'live', save(KEYS[1], SAVED))
else
  drop_unless_live(KEYS[1], ARGV[1], find_live(KEYS[1]))
  redis.call('INCR', KEYS[7])
end
leave_identity(KEYS[1], KEYS[2], ARGV[1])
take_identity(KEYS[1], KEYS[2], ARGV[1], ARGV[5])
redis.call('HSET', KEYS[1], 'filename', ARGV[6], 'title', ARGV[6], 'sha256', ARGV[7], 'size_bytes', ARGV[8],
           'blob', ARGV[9], 'taken', string.sub(taken .. ARGV[9] .. ' ', -TAKEN_LENGTH))
redis.call('SADD', KEYS[5], ARGV[1])
begin_anew(KEYS[1], KEYS[3], KEYS[4], KEYS[6], ARGV[2], ARGV[3], '')
return {'taken', unpack(redis.call('HGETALL', KEYS[1]))}
"""
)

# KEYS: document, pending, events, ranges   ARGV: member, now_ms, version
# Has a document that is searched in this version made anew of the same bytes. Returns 1 when it is to be.
REINDEX = (
    EMIT
    + RANKS
    + LIVE
    + _BEGIN
    + """
local status, version, background = unpack(redis.call('HMGET', KEYS[1], 'status', 'version', 'background'))
if version ~= ARGV[3] then return 0 end
if status ~= 'ready' then return RANKS[status] and background == '1' and 1 or 0 end
redis.call('HSET', KEYS[1], 'live', save(KEYS[1], SAVED))
begin_anew(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2], '1')
return 1
"""
)

# KEYS: document, pending, ready, events, revision, answers, ages, ranges, purged
# ARGV: id, member, now_ms, new revision, edition
# Takes a document whose points are lost out of the searches, and has it made anew of the bytes that it had last.
# Failed and deleted ones stay as they are. Returns 1 when it is to be made.
REBUILD = (
    EMIT
    + RANKS
    + CHANGE
    + LIVE
    + CARDS
    + _BEGIN
    + """
local status, edition = unpack(redis.call('HMGET', KEYS[1], 'status', 'edition'))
if status ~= 'ready' and not RANKS[status] then return 0 end
if (edition or '1') ~= ARGV[5] then return RANKS[status] and 1 or 0 end
local live = find_live(KEYS[1])
local sha256, blob = unpack(redis.call('HMGET', KEYS[1], 'sha256', 'blob'))
if live and (live.sha256 ~= sha256 or (live.blob or ARGV[1]) ~= (blob or ARGV[1])) then
  drop(KEYS[1], ARGV[1], live.sha256, live.blob)
end
redis.call('HSET', KEYS[1], 'live', '', 'version', '')
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('INCR', KEYS[9])
unlist_card(KEYS[1])
note_change(5, ARGV[4])
begin_anew(KEYS[1], KEYS[2], KEYS[4], KEYS[8], ARGV[2], ARGV[3], '')
return 1
"""
)

# KEYS: document   ARGV: bytes that were removed, as in `dropped`, …
NOTE_REMOVED = """
local dropped = redis.call('HGET', KEYS[1], 'dropped')
if not dropped then return 0 end
local removed, left = {}, ''
for _, name in ipairs(ARGV) do removed[name] = true end
for name in string.gmatch(dropped, '[^ ]+') do
  if not removed[name] then left = left .. name .. ' ' end
end
redis.call('HSET', KEYS[1], 'dropped', left)
return 1
"""
