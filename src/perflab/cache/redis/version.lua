-- The current version of a tag; a new one where there is none.
-- KEYS: tag. ARGV: a version never used before, milliseconds.
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'string' then
  return current
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
