-- End a lease without storing anything, unless it is somebody else's by now.
-- KEYS: lease. ARGV: token. Returns 1 if it was ours.
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
