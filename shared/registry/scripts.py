"""The registry's Lua scripts: each one is a single atomic step, so a crash leaves no half of it.

Every script that a worker calls checks the fencing epoch: a worker that lost its lease (it hung, or was cut off)
cannot write over what its successor does.

Each may run twice for one call: when Redis is slow the client sends it again, though the first may have been run. The
second time must change nothing and answer the same.

What changes for those who watch a document is also written, in the same step, to its stream of events: an entry has the
event's number as its id (`N-0`) and a field `events` with a JSON array of `[number, name, data]`; the last one also a
field `end`. Numbers begin at 1 and go on after a requeue. Whoever reads them sees progress that only rises, then
exactly one `ready` or `failed`, and nothing after it until a requeue or another version begins the stream anew. Where
other bytes take the place of those that are being worked on, the same stream goes on and its counts begin anew.

Versions. What is being made of a document are the fields of its record. As long as an older version is searched
meanwhile, what is known of that one is kept aside in the field `live`, as JSON: a success drops it, a failure puts it
back and leaves what is known of the failure in the field `replacement`. Each time a document is to be made anew its
`edition` rises by one. `dropped` lists the bytes that nothing names any more and that are still to be removed.

`text_key` opens what the index has of the text of one version (`shared/vector_index/sealing.py`). It is made by the
first claim, goes aside with the version, and is gone with it; `purged` then says that it is still in Redis's file.
"""

from shared.lua_clock import FIND_TIME
from shared.registry.cards import CARDS
from shared.registry.status_lists import LIST_BY_STATUS

EVENTS_TTL_MS = 10 * 60 * 1000
"""How long a stream can be read after its end."""
EVENTS_MAX_LENGTH = 10_000
"""Entries of a stream, about: far more than the steps of the longest document."""

EMIT = (
    LIST_BY_STATUS
    + f"local EVENTS_TTL_MS, EVENTS_MAX_LENGTH = {EVENTS_TTL_MS}, {EVENTS_MAX_LENGTH}\n"
    + """
local function emit(document, events, name, status, extra)
  list_by_status(document)
  local counts = redis.call('HMGET', document, 'pages_total', 'pages_done', 'chunks_total', 'chunks_done')
  if (redis.call('HGET', document, 'live') or '') ~= '' then extra = (extra or '') .. ',"replacement":true' end
  local number = string.format('%d', redis.call('HINCRBY', document, 'event_number', 1))
  local entry = string.format(
    '[[%s,"%s",{"status":"%s","pages_total":%d,"pages_done":%d,"chunks_total":%d,"chunks_done":%d%s}]]', number, name,
    status, counts[1] or 0, counts[2] or 0, counts[3] or 0, counts[4] or 0, extra or '')
  if name == 'progress' then
    redis.call('XADD', events, 'MAXLEN', '~', EVENTS_MAX_LENGTH, number .. '-0', 'events', entry)
  else
    redis.call('XADD', events, number .. '-0', 'events', entry, 'end', '1')
    redis.call('PEXPIRE', events, EVENTS_TTL_MS)
  end
end
"""
)

RANKS = """
local RANKS = {queued = 0, parsing = 1, embedding = 2}  -- of a document that is not finished; a status only rises
"""

LIVE = """
local SAVED = {'filename', 'title', 'sha256', 'size_bytes', 'identity', 'blob', 'warnings', 'pages_total', 'pages_done',
  'chunks_total', 'chunks_done', 'text_key'}
local FAILED = {'filename', 'sha256', 'size_bytes', 'failure', 'pages_total', 'pages_done', 'chunks_total',
  'chunks_done'}
local function save(document, names)
  local values, saved = redis.call('HMGET', document, unpack(names)), {}
  for i, name in ipairs(names) do if values[i] then saved[name] = values[i] end end
  return cjson.encode(saved)
end
local function find_live(document)
  local live = redis.call('HGET', document, 'live')
  return live and live ~= '' and cjson.decode(live) or nil
end
local function drop(document, id, sha256, blob)
  local dropped = redis.call('HGET', document, 'dropped') or ''
  redis.call('HSET', document, 'dropped', dropped .. sha256 .. '/' .. (blob or id) .. ' ')
end
-- The bytes that were to be made a version of, unless they are those of the one that is searched as well.
local function drop_unless_live(document, id, live)
  local sha256, blob = unpack(redis.call('HMGET', document, 'sha256', 'blob'))
  if not live or live.sha256 ~= sha256 or (live.blob or id) ~= (blob or id) then drop(document, id, sha256, blob) end
end
-- Another document may have taken the identity: it keeps it.
local function take_identity(document, identities, id, identity)
  redis.call('HSETNX', identities, identity, id)
  redis.call('HSET', document, 'identity', identity)
end
local function leave_identity(document, identities, id)
  local identity = redis.call('HGET', document, 'identity')
  if redis.call('HGET', identities, identity) == id then redis.call('HDEL', identities, identity) end
end
"""

# What searches see has changed: see revision.py. The three keys begin at the `first`.
CHANGE = """
local function note_change(first, revision)
  redis.call('SET', KEYS[first], revision)
  redis.call('UNLINK', KEYS[first + 1], KEYS[first + 2])
end
"""

# KEYS: document, identities, documents, pending, events, content   ARGV: id, identity, member, field, value, …
# Returns {id, record as field, value, …}; the id is another's when the same upload was there already. Documents are
# listed by the time of their creation, so that is Redis's: gateways' clocks differ.
CREATE = (
    EMIT
    + FIND_TIME
    + """
local existing = redis.call('HGET', KEYS[2], ARGV[2])
if existing and existing ~= ARGV[1] then
  local key = string.sub(KEYS[1], 1, -(#ARGV[1] + 1)) .. existing
  local status = redis.call('HGET', key, 'status')
  if status and status ~= 'deleted' then return {existing, redis.call('HGETALL', key)} end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  local now = string.format('%d', find_time())
  redis.call('HSET', KEYS[1], 'status', 'queued', 'created_at', now, 'updated_at', now,
             'identity', ARGV[2], unpack(ARGV, 4))
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
  redis.call('ZADD', KEYS[3], now, ARGV[1])
  redis.call('SADD', KEYS[4], ARGV[3])
  redis.call('SADD', KEYS[6], ARGV[1])
  emit(KEYS[1], KEYS[5], 'progress', 'queued')
end
return {ARGV[1], redis.call('HGETALL', KEYS[1])}
"""
)

# KEYS: document, pending, events   ARGV: now_ms, member
# Puts a failed document back to `queued`; returns its record, empty when it is gone. The epoch rises, so that whoever
# failed it cannot do so once more. The key of its text stays: the bytes are the same, and nobody has let them go.
REQUEUE = (
    EMIT
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'deleted' then return {} end
if status == 'failed' then
  redis.call('HSET', KEYS[1], 'status', 'queued', 'failure', '', 'attempts', 0, 'updated_at', ARGV[1],
             'pages_total', 0, 'pages_done', 0, 'chunks_total', 0, 'chunks_done', 0)
  redis.call('HSET', KEYS[1], 'edition', (redis.call('HGET', KEYS[1], 'edition') or 1) + 1)
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
  redis.call('SADD', KEYS[2], ARGV[2])
  redis.call('DEL', KEYS[3])
  emit(KEYS[1], KEYS[3], 'progress', 'queued')
end
return redis.call('HGETALL', KEYS[1])
"""
)

# KEYS: document, lease, pending   ARGV: token, lease_ms, now_ms, member, a key for the text where it has none yet
# Returns {'claimed', epoch, attempts, edition, sha256, filename, size, blob, text_key}, {'held'} or {'gone'}.
CLAIM = """
local function reply()
  redis.call('HSETNX', KEYS[1], 'text_key', ARGV[5])
  local found = redis.call('HMGET', KEYS[1], 'epoch', 'attempts', 'edition', 'sha256', 'filename', 'size_bytes', 'blob',
                           'text_key')
  return {'claimed', found[1], found[2], found[3] or '1', found[4], found[5], found[6], found[7] or '', found[8]}
end
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'ready' or status == 'failed' or status == 'deleted' then
  redis.call('SREM', KEYS[3], ARGV[4])
  return {'gone'}
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  return reply()
end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {'held'} end
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HSET', KEYS[1], 'updated_at', ARGV[3])
return reply()
"""

# KEYS: lease, document   ARGV: token, lease_ms, epoch
# Not where other bytes have taken the place of those that the worker has, or the document was deleted and forgotten.
RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[3] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: lease, document   ARGV: token, epoch
# Gives the attempt back and ends the epoch: whatever of this lease arrives later is stale. After a requeue the attempts
# are those of the new try, and none of them is this lease's. It may have run out, as long as nobody else has claimed.
RELEASE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if redis.call('HGET', KEYS[2], 'epoch') == ARGV[2] then
  local attempts = tonumber(redis.call('HGET', KEYS[2], 'attempts') or '0')
  if attempts > 0 then redis.call('HSET', KEYS[2], 'attempts', attempts - 1) end
  redis.call('HINCRBY', KEYS[2], 'epoch', 1)
end
return 1
"""

# KEYS: document, events   ARGV: epoch, now_ms, field, value, …
# Status and counts only rise, also when another worker takes over and begins anew. Where what is done grows beyond what
# any attempt reached, the attempts count anew: such a document does not kill its workers, somebody else does.
UPDATE = (
    EMIT
    + RANKS
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if not RANKS[status] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'updated_at', ARGV[2])
local changed = false
for i = 3, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if field == 'title' then
    redis.call('HSET', KEYS[1], field, value)
  elseif field == 'status' then
    if RANKS[value] > RANKS[status] then status, changed = value, true end
  elseif tonumber(value) > tonumber(redis.call('HGET', KEYS[1], field) or '0') then
    redis.call('HSET', KEYS[1], field, value)
    if field == 'pages_done' or field == 'chunks_done' then redis.call('HSET', KEYS[1], 'attempts', 1) end
    changed = true
  end
end
if changed then
  redis.call('HSET', KEYS[1], 'status', status)
  emit(KEYS[1], KEYS[2], 'progress', status)
end
return 1
"""
)

# KEYS: document, pending, ready, events, revision, answers, ages, identities, ranges, purged, untidied
# ARGV: epoch, now_ms, member, id, new revision, 'ready'|'failed', field, value, …
# Where an older version is searched a failure leaves it as it was.
FINISH = (
    EMIT
    + RANKS
    + CHANGE
    + LIVE
    + CARDS
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if not status or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
if not RANKS[status] then  -- final already: this call has run before, or it is a stale one
  local left = redis.call('HGET', KEYS[1], 'replacement') or ''
  if ARGV[6] == 'failed' and left ~= '' then return cjson.decode(left).failure == ARGV[8] and 1 or 0 end
  if status ~= ARGV[6] then return 0 end
  for i = 7, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1] then return 0 end
  end
  return 1
end
if ARGV[6] == 'ready' then unlist_card(KEYS[1]) end
redis.call('HSET', KEYS[1], 'updated_at', ARGV[2], 'status', ARGV[6], unpack(ARGV, 7))
redis.call('SREM', KEYS[2], ARGV[3])
redis.call('HSET', KEYS[11], ARGV[3], redis.call('HGET', KEYS[1], 'edition') or 1)
redis.call('DEL', KEYS[9])  -- the next try begins anew: what was done for this one may be removed
local live = find_live(KEYS[1])
if live then redis.call('INCR', KEYS[10]) end  -- one of two versions is gone
if ARGV[6] == 'ready' then
  redis.call('SADD', KEYS[3], ARGV[4])
  list_card(KEYS[1])
  note_change(5, ARGV[5])
  emit(KEYS[1], KEYS[4], 'ready', 'ready', ',"warnings":' .. redis.call('HGET', KEYS[1], 'warnings'))
  local sha256, blob = unpack(redis.call('HMGET', KEYS[1], 'sha256', 'blob'))
  if live and (live.sha256 ~= sha256 or (live.blob or ARGV[4]) ~= (blob or ARGV[4])) then
    drop(KEYS[1], ARGV[4], live.sha256, live.blob)
  end
else
  emit(KEYS[1], KEYS[4], 'failed', 'failed', ',"failure":' .. redis.call('HGET', KEYS[1], 'failure'))
  if live then
    redis.call('HSET', KEYS[1], 'replacement', save(KEYS[1], FAILED), 'status', 'ready', 'failure', '')
    drop_unless_live(KEYS[1], ARGV[4], live)
    leave_identity(KEYS[1], KEYS[8], ARGV[4])
    for _, name in ipairs(SAVED) do
      if live[name] then
        redis.call('HSET', KEYS[1], name, live[name])
      elseif name ~= 'text_key' then  -- a release that knows no keys has left it, for both versions
        redis.call('HDEL', KEYS[1], name)
      end
    end
    take_identity(KEYS[1], KEYS[8], ARGV[4], live.identity)
  end
end
redis.call('HSET', KEYS[1], 'live', '', 'background', '')
return 1
"""
)

# KEYS: untidied   ARGV: member, edition
NOTE_TIDIED = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end  -- a later one is not tidy yet
return redis.call('HDEL', KEYS[1], ARGV[1])
"""

# KEYS: document, identities, documents, pending, ready, purging, events, revision, answers, ages
# ARGV: id, member, now_ms, token of this call and new revision, the failure that those who watch an unfinished document
# are told
DELETE = (
    EMIT
    + RANKS
    + CHANGE
    + CARDS
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return 0 end
if status == 'deleted' then return redis.call('HGET', KEYS[1], 'deleted_by') == ARGV[4] and 1 or 0 end
local identity = redis.call('HGET', KEYS[1], 'identity')
if redis.call('HGET', KEYS[2], identity) == ARGV[1] then redis.call('HDEL', KEYS[2], identity) end
redis.call('HSET', KEYS[1], 'status', 'deleted', 'updated_at', ARGV[3], 'deleted_by', ARGV[4])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[2])
redis.call('SREM', KEYS[5], ARGV[1])
redis.call('SADD', KEYS[6], ARGV[2])
list_by_status(KEYS[1])
unlist_card(KEYS[1])
note_change(8, ARGV[4])
if RANKS[status] then emit(KEYS[1], KEYS[7], 'failed', 'failed', ',"failure":' .. ARGV[5]) end
return 1
"""
)

# KEYS: document, lease, events, purging, ranges, purged   ARGV: member, tombstone_ms
# Removes what is left of a deleted document. Its id stays known as deleted for a while, so that a CREATE that arrives
# late does not bring it back; so do its events, so that whoever follows them and reads late still learns of the end.
FORGET = (
    CARDS
    + """
local status, deleted_by = unpack(redis.call('HMGET', KEYS[1], 'status', 'deleted_by'))
if status and status ~= 'deleted' then return 0 end
unlist_card(KEYS[1])  -- a gateway of before there were cards has left it
redis.call('DEL', KEYS[1], KEYS[2], KEYS[5])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
redis.call('SREM', KEYS[4], ARGV[1])
redis.call('INCR', KEYS[6])
if status then
  redis.call('HSET', KEYS[1], 'status', 'deleted', 'deleted_by', deleted_by)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
"""
)

# KEYS: documents, the tenant's revision
# Reads only. One command for all that a search has found: one for each, in a pipeline, takes the client three times as
# long.
LOOK_AT_VERSIONS = """
local found = {}
for i = 1, #KEYS - 1 do found[i] = redis.call('HMGET', KEYS[i], 'status', 'version', 'live', 'text_key') end
found[#KEYS] = redis.call('GET', KEYS[#KEYS])
return found
"""
