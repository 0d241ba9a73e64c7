-- Exact sliding log: the time of every admitted unit, newest first, a double of 8 bytes each.
-- Most checks need the newest and the oldest time only, which are read once; to look at the others
-- would cost more than everything else.
local log = {}
local WIDTH = 8
local TOO_LATE = 1e16
local pack, unpack_at = struct.pack, struct.unpack

-- Nil where there is nothing, or what is not ours.
local function stamp(text, index)
  local time = unpack_at('>d', text, index * WIDTH + 1)
  if time >= 0 and time < TOO_LATE then
    return time
  end
end

-- How many of the times, of which there are `count`, are later than `start`.
local function later(text, count, start)
  if (stamp(text, count - 1) or 0) > start then
    return count
  end
  local alive, dead = 0, count - 1 -- the first dead one is at an index in this range
  while alive < dead do
    local middle = floor((alive + dead) / 2)
    if (stamp(text, middle) or 0) > start then
      alive = middle + 1
    else
      dead = middle
    end
  end
  return alive
end

-- Set what a state knows of its text.
local function know(state, text, alive)
  state.text, state.alive = text, alive
  state.newest = alive > 0 and stamp(text, 0) or state.at
  state.oldest = alive > 0 and stamp(text, alive - 1) or state.at
end

function log.read(state, text, policy, now)
  state.now, state.at, state.size, state.period = now, now, policy[2], policy[3]
  local newest = text and #text > 0 and #text % WIDTH == 0 and stamp(text, 0)
  if not newest then
    know(state, '', 0)
    return state
  end
  state.at = max(now, newest) -- where the clock was set back: times of a key never go backwards
  know(state, text, later(text, #text / WIDTH, state.at - state.period))
  return state
end

function log.room(state)
  return max(0, state.size - state.alive)
end

function log.wait(state, cost)
  if state.alive + cost <= state.size then
    return 0
  end
  local index, time = state.size - cost, nil
  if index == 0 then
    time = state.newest
  elseif index == state.alive - 1 then
    time = state.oldest
  else
    time = stamp(state.text, index) or state.at
  end
  return time + state.period - state.now
end

function log.take(state, cost)
  local kept = state.text
  if state.alive * WIDTH < #kept then
    kept = sub(kept, 1, state.alive * WIDTH)
  end
  if state.alive == 0 then
    state.oldest = state.at
  end
  state.newest = state.at
  state.text = string.rep(pack('>d', state.at), cost) .. kept
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
  know(state, table.concat(kept), #kept)
end

function log.write(state)
  return state.text
end

return log
