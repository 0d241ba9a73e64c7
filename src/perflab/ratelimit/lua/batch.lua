-- What both scripts share: states are read once, written once, and timed by the server.
local EXTRA_MS = 1000
local CALLERS_CLOCK_EXTRA_MS = 3600000

local asked = cmsgpack.unpack(ARGV[1])
local policies = asked[1]
local kept = redis.call('MGET', unpack(KEYS)) -- what is no string reads as nothing
local lasts = {}
local server_now

-- Microseconds; one reading for the whole batch, unless the caller brought a time of its own.
local function time(own)
  if own > 0 then
    return own
  end
  if not server_now then
    local time = redis.call('TIME')
    server_now = time[1] * 1000000 + time[2]
  end
  return server_now
end

-- Keep a state that is at rest after so many microseconds.
local function keep(index, written, rest, own)
  kept[index] = written
  lasts[index] = ceil(max(0, rest) / 1000) + EXTRA_MS
  if own > 0 then
    -- time to live follows the server's clock, not the caller's
    lasts[index] = lasts[index] + CALLERS_CLOCK_EXTRA_MS
  end
end

local function save()
  for index, ms in pairs(lasts) do
    redis.call('SET', KEYS[index], kept[index], 'PX', ms)
  end
end
