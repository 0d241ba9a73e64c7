-- Each algorithm is a table of functions over a state: `read` fills one from what Redis keeps,
-- `room` is the units left, `wait` the time until a cost can be had (0 or less: now), `take` charges
-- and returns what a refund must name, `refund` takes that back, `write` is what Redis shall keep.
-- Times are whole microseconds, which a double holds exactly.
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local sub, format = string.sub, string.format
local algorithms = {}
