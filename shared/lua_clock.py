"""The time for Lua scripts: Redis's own, one for all who ask. The clocks of their machines may be hours apart."""

from typing import Final

FIND_TIME: Final = """
local function find_time()  -- in milliseconds since 1970, with a fraction
  local clock = redis.call('TIME')
  return clock[1] * 1000 + clock[2] / 1000
end
"""
