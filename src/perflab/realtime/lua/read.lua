-- The position of a channel and the messages after another position.
-- KEYS: the channel's epoch and offsets; the messages of the critical lane; of the normal lane
-- ARGV: epoch to begin with, milliseconds that messages are kept, milliseconds that the offsets
--       are kept, most messages of a lane; and where messages are asked for: the position's epoch,
--       its critical and its normal offset
local meta = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.call('HMGET', meta, 'epoch', 'critical', 'normal')
if not known[1] then
  known = {ARGV[1], '0', '0'}
  redis.call('HSET', meta, 'epoch', ARGV[1])
end
redis.call('PEXPIRE', meta, ARGV[3])

local reply = {known[1], tonumber(known[2] or 0), tonumber(known[3] or 0)}
if ARGV[5] ~= known[1] then
  return reply
end
for lane = 1, 2 do
  local after = tonumber(ARGV[5 + lane])
  local found = {}
  if after < reply[1 + lane] then
    local stored = redis.call('XRANGE', KEYS[1 + lane], '(' .. after .. '-0', '+', 'COUNT', ARGV[4])
    for _, entry in ipairs(stored) do
      if tonumber(entry[2][2]) > now - ARGV[2] then
        found[#found + 1] = tonumber(string.match(entry[1], '^%d+'))
        found[#found + 1] = entry[2][4]
      end
    end
  end
  reply[3 + lane] = found
end
return reply
