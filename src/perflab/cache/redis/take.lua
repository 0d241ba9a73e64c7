-- Take the lease of a key for whoever loads it.
-- KEYS: lease, value (same hash tag). ARGV: token, milliseconds.
-- Returns nil if somebody holds it, else {1, what is stored now or nil}.
local taken = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
if not taken and redis.call('PTTL', KEYS[1]) == -1 then
  -- a lease always ends by itself, so this is something foreign that would stay for ever
  taken = redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
if not taken then
  return nil
end
local value = redis.pcall('GET', KEYS[2])
if type(value) ~= 'string' then
  return {1}
end
return {1, value}
