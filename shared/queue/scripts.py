"""The queue's Lua script: a job gets its place in one atomic step, whatever is left of an earlier one.

Places. arq takes the jobs of a sorted set in the order of their scores, and reads a score as the time in milliseconds
at which a job is due. Ours are small numbers, due since 1970 by any clock, however wrong: a virtual time that counts
work. A job's place is that of the first in its lane, or of the last of its tenant, whichever is further, and its own
cost more. So tenants take turns by the amount of work, who comes new is served next to those who wait longest, and
nobody waits for ever, as all who come stand behind the first.

Only a job that pauses after a fault has a time of the clock for a score (arq's own doing). When the pause is over it
would stand behind all others, and the reconciler gives it a place again.
"""

CLOCK = 1_000_000_000_000
"""Scores from here on are times of the clock (since 2001), those below are places: kilobytes, of a petabyte."""

BACKGROUND = CLOCK // 2
"""Places from here on are of work that is done when nobody waits for anything else."""

# KEYS: lane, places of the lane, the other lane, job's body, in-progress key
# ARGV: job id, body, milliseconds to live, tenant, cost, longest pause in ms, BACKGROUND or 0
# Queues a job that is not queued, or is but never would be run; returns 1. One that waits, runs or pauses stays: 0.
PLACE = f"""
local CLOCK, BACKGROUND = {CLOCK}, {BACKGROUND}
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or -1)
local body, running = redis.call('EXISTS', KEYS[4]) == 1, redis.call('EXISTS', KEYS[5]) == 1
local waits = score >= 0 and score < CLOCK
local pauses = score >= CLOCK and score <= now + tonumber(ARGV[6]) and (score > now or running)
local floor = tonumber(ARGV[7])
local promoted = waits and floor == 0 and score >= BACKGROUND and not running
if body and (waits or pauses) and not promoted then return 0 end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local lane = tonumber(first[2] or CLOCK)
if lane >= CLOCK or (lane >= BACKGROUND and floor == 0) then  -- nobody of these waits: all begin anew
  redis.call('DEL', KEYS[2])
  lane = 0
end
local place = math.max(lane, floor, tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or 0)) + tonumber(ARGV[5])
redis.call('HSET', KEYS[2], ARGV[4], string.format('%.0f', place))
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.0f', place), ARGV[1])
redis.call('SET', KEYS[4], ARGV[2], 'PX', ARGV[3])
return 1
"""
