-- Decide a batch of checks, each atomically: all its policies are charged or none.
-- KEYS: the states. ARGV: msgpack of {policies, checks}, where
--   policy: {algorithm, limit, period, interval, burst, shadow}, times in microseconds
--   check: {caller's time or 0, 1 to look without charging, then for each policy: its key's
--     index, its own index, cost}
-- Returns, for each policy of each check in order: units left, then microseconds until the cost
-- can be had (0: it can), until one unit more is left, until everything is; then what a refund
-- must name.
local replies, count = {}, 0
local states, waits = {}, {}

for _, check in ipairs(asked[2]) do
  local own, look = check[1], check[2]
  local now = time(own)
  local passes = true
  for at = 3, #check, 3 do
    local policy = policies[check[at + 1]]
    local algorithm = algorithms[policy[1]]
    local state = algorithm.read(states[at] or {}, kept[check[at]], policy, now)
    local wait = algorithm.wait(state, check[at + 2])
    states[at], waits[at] = state, wait
    passes = passes and (wait <= 0 or policy[6] == 1)
  end
  for at = 3, #check, 3 do
    local algorithm = algorithms[policies[check[at + 1]][1]]
    local state, wait, mark, rest = states[at], waits[at], 0, nil
    if passes and wait <= 0 and look == 0 then
      mark = algorithm.take(state, check[at + 2])
      rest = algorithm.wait(state, state.size)
      keep(check[at], algorithm.write(state), rest, own)
    else
      rest = algorithm.wait(state, state.size)
    end
    local room = algorithm.room(state)
    replies[count + 1] = room
    replies[count + 2] = max(0, wait)
    replies[count + 3] = room < state.size and algorithm.wait(state, room + 1) or 0
    replies[count + 4] = max(0, rest)
    replies[count + 5] = mark
    count = count + 5
  end
end

save()
return replies
