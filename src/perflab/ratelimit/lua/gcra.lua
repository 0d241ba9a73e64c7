-- GCRA: the state is the theoretical arrival time (TAT) of the next request.
-- Kept as a number; nothing is kept of a key whose TAT has passed.
local gcra = {}

function gcra.read(state, text, policy, now)
  local interval, burst = policy[4], policy[5]
  local tat, latest = tonumber(text) or now, now + burst * interval
  if tat < now then
    tat = now
  elseif not (tat <= latest) then
    tat = latest -- the clock was set back, or the text is not ours
  end
  state.now, state.tat, state.interval, state.size = now, tat, interval, burst
  return state
end

function gcra.room(state)
  return floor((state.now + state.size * state.interval - state.tat) / state.interval)
end

function gcra.wait(state, cost)
  return state.tat + (cost - state.size) * state.interval - state.now
end

function gcra.take(state, cost)
  state.tat = state.tat + cost * state.interval
  return state.tat
end

-- Give back what has not yet drained of the part that ends at the mark.
function gcra.refund(state, cost, mark)
  state.tat = state.tat - min(cost * state.interval, max(0, mark - state.now))
end

function gcra.write(state)
  return state.tat
end

return gcra
