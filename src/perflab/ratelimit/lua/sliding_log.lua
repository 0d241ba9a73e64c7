-- Exact sliding log: the time of every admitted unit, newest first, 16 digits each.
local log = {}
local WIDTH = 16
local match = string.match

-- Nil where there is nothing, or what is not ours. Only what is read is looked at: to check a whole
-- log would cost more than everything else.
local function stamp(text, index)
  return tonumber(match(sub(text, index * WIDTH + 1, (index + 1) * WIDTH), '^%d+$'))
end

function log.read(state, text, policy, now)
  local limit, period = policy[2], policy[3]
  local at, newest = now, nil
  if text and #text % WIDTH == 0 then
    newest = stamp(text, 0)
  end
  if not newest then
    text = '' -- nothing there, or not ours
  elseif newest > at then
    at = newest -- the clock was set back: times of one key never go backwards
  end
  local alive, dead = 0, #text / WIDTH -- the first dead one is at an index in this range
  while alive < dead do
    local middle = floor((alive + dead) / 2)
    if (stamp(text, middle) or 0) > at - period then
      alive = middle + 1
    else
      dead = middle
    end
  end
  state.now, state.at, state.text, state.alive = now, at, text, alive
  state.period, state.size = period, limit
  return state
end

function log.room(state)
  return max(0, state.size - state.alive)
end

function log.wait(state, cost)
  if state.alive + cost <= state.size then
    return 0
  end
  return (stamp(state.text, state.size - cost) or state.at) + state.period - state.now
end

function log.take(state, cost)
  local taken = string.rep(format('%016.0f', state.at), cost)
  state.text = taken .. sub(state.text, 1, state.alive * WIDTH)
  state.alive = state.alive + cost
  return state.at
end

function log.refund(state, cost, mark)
  local kept = {}
  for index = 0, state.alive - 1 do
    if cost > 0 and stamp(state.text, index) == mark then
      cost = cost - 1
    else
      kept[#kept + 1] = sub(state.text, index * WIDTH + 1, (index + 1) * WIDTH)
    end
  end
  state.text, state.alive = table.concat(kept), #kept
end

function log.write(state)
  return state.text
end

return log
