-- Sliding counter: units of the current and of the previous window, windows aligned to time 0.
-- Text: index of the current window, its units, units of the window before.
local counter = {}

function counter.read(state, text, policy, now)
  local limit, period = policy[2], policy[3]
  local index = floor(now / period)
  local current, previous = 0, 0
  local of, units, before = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  if of then
    of = tonumber(of)
    if of >= index then
      -- later than now: the clock was set back, and time stands still until it has caught up
      index, current, previous = of, tonumber(units), tonumber(before)
    elseif of == index - 1 then
      previous = tonumber(units)
    end
  end
  local start = index * period
  state.now, state.index, state.start, state.elapsed = now, index, start, max(0, now - start)
  state.current, state.previous, state.period, state.size = current, previous, period, limit
  return state
end

local function weight(state)
  return floor(state.previous * (state.period - state.elapsed) / state.period)
end

-- How far into a window at most `room` of `units` of the window before still count.
local function faded(units, room, period)
  if units <= room then
    return 0
  end
  return period - ceil((room + 1) * period / units) + 1
end

function counter.room(state)
  return max(0, state.size - weight(state) - state.current)
end

function counter.wait(state, cost)
  local room = state.size - cost - state.current
  if room < 0 then
    local next_start = state.start + state.period
    return next_start + faded(state.current, state.size - cost, state.period) - state.now
  end
  if weight(state) <= room then
    return 0
  end
  return state.start + faded(state.previous, room, state.period) - state.now
end

function counter.take(state, cost)
  state.current = state.current + cost
  return state.index
end

function counter.refund(state, cost, mark)
  if mark == state.index then
    state.current = max(0, state.current - cost)
  elseif mark == state.index - 1 then
    state.previous = max(0, state.previous - cost)
  end
end

function counter.write(state)
  return format('%.0f %.0f %.0f', state.index, state.current, state.previous)
end

return counter
