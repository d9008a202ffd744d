"""The registry's Lua scripts: each one is a single atomic step, so a crash leaves no half of it.

Every script that a worker calls checks the fencing epoch: a worker that lost its lease (it hung, or was cut off)
cannot write over what its successor does.

Each may run twice for one call: when Redis is slow the client sends it again, though the first may have been run. The
second time must change nothing and answer the same.
"""

# KEYS: document, identities, documents, pending   ARGV: id, identity, now_ms, member, field, value, …
# Returns {id, record as field, value, …}; the id is another's when the same upload was there already.
CREATE = """
local existing = redis.call('HGET', KEYS[2], ARGV[2])
if existing and existing ~= ARGV[1] then
  local key = string.sub(KEYS[1], 1, -(#ARGV[1] + 1)) .. existing
  local status = redis.call('HGET', key, 'status')
  if status and status ~= 'deleted' then return {existing, redis.call('HGETALL', key)} end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'status', 'queued', 'created_at', ARGV[3], 'updated_at', ARGV[3],
             'identity', ARGV[2], unpack(ARGV, 5))
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
  redis.call('SADD', KEYS[4], ARGV[4])
end
return {ARGV[1], redis.call('HGETALL', KEYS[1])}
"""

# KEYS: document, pending   ARGV: now_ms, member
# Puts a failed document back to `queued`; returns its record, empty when it is gone. The epoch rises, so that whoever
# failed it cannot do so once more.
REQUEUE = """
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'deleted' then return {} end
if status == 'failed' then
  redis.call('HSET', KEYS[1], 'status', 'queued', 'failure', '', 'attempts', 0, 'updated_at', ARGV[1],
             'pages_done', 0, 'chunks_done', 0)
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
  redis.call('SADD', KEYS[2], ARGV[2])
end
return redis.call('HGETALL', KEYS[1])
"""

# KEYS: document, lease, pending   ARGV: token, lease_ms, now_ms, member
# Returns {'claimed', epoch, attempts}, {'held'} or {'gone'}.
CLAIM = """
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'ready' or status == 'failed' or status == 'deleted' then
  redis.call('SREM', KEYS[3], ARGV[4])
  return {'gone'}
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  return {'claimed', redis.call('HGET', KEYS[1], 'epoch'), redis.call('HGET', KEYS[1], 'attempts')}
end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {'held'} end
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
local attempts = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HSET', KEYS[1], 'updated_at', ARGV[3])
return {'claimed', epoch, attempts}
"""

# KEYS: lease   ARGV: token, lease_ms
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"

# KEYS: lease, document   ARGV: token
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HINCRBY', KEYS[2], 'attempts', -1) end
return 1
"""

# KEYS: document   ARGV: epoch, now_ms, field, value, …
# What is done only grows, also when another worker takes over and begins anew. Where it grows beyond what any attempt
# reached, the attempts count anew: such a document does not kill its workers, somebody else does.
UPDATE = """
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'deleted' or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'updated_at', ARGV[2])
for i = 3, #ARGV, 2 do
  local counts = ARGV[i] == 'pages_done' or ARGV[i] == 'chunks_done'
  local grown = counts and tonumber(ARGV[i + 1]) > tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  if grown then redis.call('HSET', KEYS[1], 'attempts', 1) end
  if grown or not counts then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return 1
"""

# KEYS: document, pending, ready   ARGV: epoch, now_ms, member, id, 'ready'|'failed', field, value, …
FINISH = """
local status = redis.call('HGET', KEYS[1], 'status')
if not status or status == 'deleted' or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'updated_at', ARGV[2], 'status', ARGV[5], unpack(ARGV, 6))
redis.call('SREM', KEYS[2], ARGV[3])
if ARGV[5] == 'ready' then redis.call('SADD', KEYS[3], ARGV[4]) end
return 1
"""

# KEYS: document, identities, documents, pending, ready, purging   ARGV: id, member, now_ms, token of this call
DELETE = """
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
return 1
"""
