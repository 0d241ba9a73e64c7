-- Register a URL under one tag until a moment.
-- KEYS: the tag's sorted set. ARGV: now and that moment in milliseconds, the most URLs, the URL.
local overflow = '*'
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
local url = ARGV[4]
if redis.call('ZSCORE', KEYS[1], overflow) then
  url = overflow
end
redis.call('ZADD', KEYS[1], 'GT', ARGV[2], url)
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[3]) then
  redis.call('DEL', KEYS[1])
  redis.call('ZADD', KEYS[1], last[2], overflow)
end
redis.call('PEXPIREAT', KEYS[1], last[2])
return redis.status_reply('OK')
