-- Fixed window: units of the current window, windows aligned to time 0.
-- Text: index of the window, its units.
local window = {}

function window.read(state, text, policy, now)
  local limit, period = policy[2], policy[3]
  local index, used = floor(now / period), 0
  local of, units = string.match(text or '', '^(%d+) (%d+)$')
  if of and tonumber(of) >= index then
    -- later than now: the clock was set back, and time stands still until it has caught up
    index, used = tonumber(of), tonumber(units)
  end
  state.now, state.index, state.used, state.period, state.size = now, index, used, period, limit
  return state
end

function window.room(state)
  return max(0, state.size - state.used)
end

function window.wait(state, cost)
  if state.used + cost <= state.size then
    return 0
  end
  return (state.index + 1) * state.period - state.now
end

function window.take(state, cost)
  state.used = state.used + cost
  return state.index
end

function window.refund(state, cost, mark)
  if mark == state.index then
    state.used = max(0, state.used - cost)
  end
end

function window.write(state)
  return format('%.0f %.0f', state.index, state.used)
end

return window
