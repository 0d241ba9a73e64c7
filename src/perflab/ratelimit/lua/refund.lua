-- Give back what a check was charged that was denied elsewhere.
-- KEYS: the states. ARGV: msgpack of {policies, {caller's time or 0, then for each charge: its
-- key's index, its policy's index, cost, mark}}. Returns nothing.
local given = asked[2]
local now = time(given[1])
for at = 2, #given, 4 do
  local policy = policies[given[at + 1]]
  local algorithm = algorithms[policy[1]]
  local state = algorithm.read({}, kept[given[at]], policy, now)
  algorithm.refund(state, given[at + 2], given[at + 3])
  keep(given[at], algorithm.write(state), algorithm.wait(state, state.size), given[1])
end
save()
