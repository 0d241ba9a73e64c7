-- Store a value if the lease under which it was loaded still holds, and end the lease.
-- KEYS: lease, value (same hash tag). ARGV: token, value, milliseconds.
-- Returns 1 if stored, 0 if the lease ended, was taken over or was purged.
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[1])
return 1
