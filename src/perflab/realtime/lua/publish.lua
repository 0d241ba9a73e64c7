-- Appends a message to a lane of a channel and tells every process that listens.
-- KEYS: the channel's epoch and offsets; the lane's messages
-- ARGV: lane, data, topic, epoch to begin with, most messages, milliseconds they are kept,
--       milliseconds that the offsets are kept
local meta, stream = KEYS[1], KEYS[2]
local lane, data, topic, fresh = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local epoch = redis.call('HGET', meta, 'epoch')
if not epoch then
  epoch = fresh
  redis.call('HSET', meta, 'epoch', epoch)
end
local offset = redis.call('HINCRBY', meta, lane, 1)
redis.call('PEXPIRE', meta, ARGV[7])

if offset == 1 then
  redis.call('DEL', stream) -- what an earlier epoch left
end
redis.call('XADD', stream, 'MAXLEN', ARGV[5], offset .. '-0', 'at', now, 'data', data)
redis.call('PEXPIRE', stream, ARGV[6])
-- the oldest go when their time is over; a few each time, more than are added
for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', 4)) do
  if tonumber(entry[2][2]) > now - ARGV[6] then
    break
  end
  redis.call('XDEL', stream, entry[1])
end

redis.call('PUBLISH', topic, lane .. ':' .. offset .. ':' .. epoch .. ':' .. data)
return {epoch, offset}
