"""The Lua scripts of the event log on Redis: each is one atomic step, and may run twice for one call.

A stream is a Redis stream. Each entry has the number of its last event as its id (`N-0`) and one field, `events`: a
JSON array of `[number, name, data]`. The entry that holds the terminal event has a second field, `end`.

Beside it stand, for runs, a key that lives as long as its writer does, and one that asks the writer to stop.
"""

# KEYS: stream, alive, stop
# ARGV: number of the last event (0: none), entry, '1' when it ends, alive_ms, kept_ms, max_length
# Returns {what, number}: `ended` when somebody else has ended the stream at that number, `stop` when it is to be
# stopped, else `ok`.
APPEND = """
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local top = newest and tonumber(string.match(newest[1], '^%d+')) or 0
local number = tonumber(ARGV[1])
if newest and newest[2][3] == 'end' then
  if top == number then return {'ok', top} end
  return {'ended', top}
end
if number > top then
  if ARGV[3] == '1' then
    redis.call('XADD', KEYS[1], number .. '-0', 'events', ARGV[2], 'end', '1')
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], number .. '-0', 'events', ARGV[2])
  end
  top = number
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[2], KEYS[3])
  return {'ok', top}
end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[4])
if redis.call('EXISTS', KEYS[3]) == 1 then return {'stop', top} end
return {'ok', top}
"""

# KEYS: stream, alive   ARGV: name, data (JSON), kept_ms
# Ends a stream whose writer has died. Returns 1 when it did so.
# Its readers may have had more events than were written here, and come back behind them: the end has a number that is
# behind any of theirs.
END_LOST = """
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if newest and newest[2][3] == 'end' then return 0 end
local number = string.format('%d', (newest and tonumber(string.match(newest[1], '^%d+')) or 0) + 1000000000)
local entry = '[[' .. number .. ',"' .. ARGV[1] .. '",' .. ARGV[2] .. ']]'
redis.call('XADD', KEYS[1], number .. '-0', 'events', entry, 'end', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

# KEYS: stream, stop   ARGV: stop_ms
# Asks the writer of an unfinished stream to stop.
STOP = """
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not newest or newest[2][3] ~= 'end' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[1]) end
return 1
"""
