"""Lists of a tenant's documents by status, so that a page of one status reads no record of another.

`pagewire:T:documents:STATUS` is a sorted set of ids by time of creation, as `pagewire:T:documents` is of all. The
scripts that change a status keep them, in the same step; a record says in `listed_as` where it is listed.
"""

# Lists a document under the status that its record has now; one that is deleted, nowhere.
LIST_BY_STATUS = """
local function list_by_status(document)
  local status, before, created, live =
    unpack(redis.call('HMGET', document, 'status', 'listed_as', 'created_at', 'live'))
  if (live or '') ~= '' and status ~= 'deleted' then status = 'ready' end  -- while it gets another version
  if status == before then return end
  local tenant, id = string.match(document, '^(.*):document:(.*)$')
  if before then redis.call('ZREM', tenant .. ':documents:' .. before, id) end
  if not status then return end
  if status == 'deleted' then
    redis.call('HDEL', document, 'listed_as')
  else
    redis.call('ZADD', tenant .. ':documents:' .. status, created, id)
    redis.call('HSET', document, 'listed_as', status)
  end
end
"""

# KEYS: documents
# Lists those that are older than the lists; nothing, where there are none.
LIST_OLDER = (
    LIST_BY_STATUS
    + """
for _, document in ipairs(KEYS) do
  if redis.call('HGET', document, 'created_at') then list_by_status(document) end
end
"""
)
