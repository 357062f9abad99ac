"""The one script that runs in Redis: it leases a part of one meter's limits to a replica.

Each meter is one hash, and the script touches that key alone, so it runs on a cluster too. Fields:
    r<second>, t<second>   requests and tokens that were leased in that second
    f<replica>, h<replica> places in flight that a replica holds, and when it was last heard of
    k<replica>             when a replica last told what it had used
    M, m                   month, and money leased or spent in it, 1e-9 USD
All times are of the server's clock, so replicas' clocks need not agree.
"""

from __future__ import annotations

import msgspec

LEASE_S = 2
"""How long a replica may use what it has leased, seconds."""
SPAN_S = 61 + LEASE_S
"""How many seconds of leases count together: what was leased in one may be used up to `LEASE_S` later."""
DEAD_S = 10
"""After so many seconds without a word of a replica, its places in flight are free."""

LEASE = """
local ask = cjson.decode(ARGV[1])
local key = KEYS[1]
local now = ask.now
if now == 0 then now = tonumber(redis.call('TIME')[1]) end
local all = redis.call('HGETALL', key)
local known = {}
local used, gone, write = {}, {}, {}
local requests, tokens, others, money, month, own = 0, 0, 0, 0, '', 0
local held, heard = {}, {}
for i = 1, #all, 2 do
  local kind, rest, value = string.sub(all[i], 1, 1), string.sub(all[i], 2), all[i + 1]
  if kind == 'r' or kind == 't' then
    local second = tonumber(rest)
    if second + ask.span <= now then
      gone[#gone + 1] = all[i]
    else
      local entry = used[second]
      if not entry then entry = {0, 0}; used[second] = entry end
      entry[kind == 'r' and 1 or 2] = tonumber(value)
    end
  elseif kind == 'f' then held[rest] = tonumber(value)
  elseif kind == 'h' then heard[rest] = tonumber(value)
  elseif kind == 'k' then known[rest] = tonumber(value)
  elseif kind == 'M' then month = value
  elseif kind == 'm' then money = tonumber(value)
  end
end
local function put(field, value)
  write[#write + 1] = field
  write[#write + 1] = string.format('%.0f', value)
end
local function add(second, more_requests, more_tokens)
  local entry = used[second]
  if not entry then entry = {0, 0}; used[second] = entry end
  entry[1] = math.max(0, entry[1] + more_requests)
  entry[2] = math.max(0, entry[2] + more_tokens)
  entry.changed = true
end
for _, back in ipairs(ask.back) do
  if used[back[1]] then add(back[1], -back[2], -back[3]) end
end
-- What it has told before is lost with the data, and told again.
local fresh = known[ask.me] == nil
local forced = fresh and ask.fresh or ask.forced
put('k' .. ask.me, now)
for replica, last in pairs(known) do
  if replica ~= ask.me and last + 300 <= now then gone[#gone + 1] = 'k' .. replica end
end
if forced[1] ~= 0 or forced[2] ~= 0 then add(now, forced[1], forced[2]) end
for _, entry in pairs(used) do
  requests = requests + entry[1]
  tokens = tokens + entry[2]
end
for replica, places in pairs(held) do
  if replica ~= ask.me then
    if (heard[replica] or 0) + ask.dead <= now then
      gone[#gone + 1] = 'f' .. replica
      gone[#gone + 1] = 'h' .. replica
    else
      others = others + places
    end
  end
end
if month < ask.month then month = ask.month; money = 0 end
if month == ask.month then
  money = math.max(money, ask.floor)
  if fresh then money = math.max(money, ask.fresh[3]) end
  money = math.max(0, money + ask.forced[3])
end
-- need = {least that is of use, most that one asks for, what all ask for, what would be handy}
local function grant(need, left)
  if left < need[1] then return 0 end
  local given = math.min(need[3], left)
  local more = math.min(need[4] - given, math.floor((left - given) / (8 * ask.replicas)))
  -- Where little is left, what would be no use to anybody is left to the other replicas.
  if more < need[2] then more = 0 end
  return given + math.max(0, more)
end
local function wait(kind, over)
  if over <= 0 then return 0 end
  local seconds = {}
  for second in pairs(used) do seconds[#seconds + 1] = second end
  table.sort(seconds)
  for _, second in ipairs(seconds) do
    over = over - used[second][kind]
    if over <= 0 then return math.max(1, second + ask.span - now) end
  end
  return ask.span
end
local given_requests, given_tokens, given_places, given_money = 0, 0, 0, 0
local wait_requests, wait_tokens = 0, 0
local limit = ask.limit
if limit[1] > 0 then
  given_requests = grant(ask.requests, limit[1] - requests)
  wait_requests = wait(1, requests + given_requests + ask.requests[2] - limit[1])
end
if limit[2] > 0 then
  given_tokens = grant(ask.tokens, limit[2] - tokens)
  wait_tokens = wait(2, tokens + given_tokens + ask.tokens[2] - limit[2])
end
if given_requests > 0 or given_tokens > 0 then add(now, given_requests, given_tokens) end
if limit[3] > 0 then
  given_places = ask.running + grant(ask.places, limit[3] - others - ask.running)
  if given_places > 0 then
    put('f' .. ask.me, given_places)
    put('h' .. ask.me, now)
  else
    gone[#gone + 1] = 'f' .. ask.me
    gone[#gone + 1] = 'h' .. ask.me
  end
end
if limit[4] > 0 then
  if month == ask.month then
    given_money = grant(ask.money, limit[4] - money)
    money = money + given_money
  end
  write[#write + 1] = 'M'
  write[#write + 1] = month
  put('m', money)
end
for second, entry in pairs(used) do
  if entry.changed then
    put('r' .. string.format('%.0f', second), entry[1])
    put('t' .. string.format('%.0f', second), entry[2])
  end
end
if #write > 0 then redis.call('HSET', key, unpack(write)) end
if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
redis.call('EXPIRE', key, limit[4] > 0 and 3456000 or 300)
return {
  now, given_requests, given_tokens, given_places, string.format('%.0f', given_money),
  wait_requests, wait_tokens, limit[1] - requests - given_requests,
  string.format('%.0f', limit[2] - tokens - given_tokens), others, string.format('%.0f', money)
}
"""

ALIVE = """
local ask = cjson.decode(ARGV[1])
local now = ask.now
if now == 0 then now = tonumber(redis.call('TIME')[1]) end
if ask.leave then
  redis.call('HDEL', KEYS[1], ask.me)
else
  redis.call('HSET', KEYS[1], ask.me, now)
end
local all, alive = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  if tonumber(all[i + 1]) + ask.dead <= now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    alive = alive + 1
  end
end
redis.call('EXPIRE', KEYS[1], 300)
return alive
"""

Need = tuple[int, int, int, int]
"""The least that is of use, the most that one request asks for, the sum of all, and what would be handy."""
NOTHING: Need = (0, 0, 0, 0)


class Ask(msgspec.Struct):
    """What the script is asked.

    Attributes:
        me: This replica.
        month: Of the money, such as `2026-11`.
        limit: Requests and tokens per minute, in flight, money; 0 for none.
        requests: Requests that are needed.
        tokens: Tokens that are needed.
        places: Places in flight that are needed besides those in use.
        money: Money that is needed.
        running: Places in flight that are in use.
        back: What is given back: second of the lease, requests, tokens.
        forced: Requests, tokens and money that were used without a lease; money below 0 is given back.
        fresh: Instead, if Redis knows nothing of this replica: its last minute, and money known to be spent.
        floor: Money that the store knows to be spent.
        replicas: How many replicas share it.
        span: Seconds that count together.
        dead: Seconds after which a silent replica is gone.
        now: The time for tests; 0: the server's.
    """

    me: str
    month: str
    limit: tuple[int, int, int, int]
    requests: Need = NOTHING
    tokens: Need = NOTHING
    places: Need = NOTHING
    money: Need = NOTHING
    running: int = 0
    back: list[tuple[int, int, int]] = []
    forced: tuple[int, int, int] = (0, 0, 0)
    fresh: tuple[int, int, int] = (0, 0, 0)
    floor: int = 0
    replicas: int = 1
    span: int = SPAN_S
    dead: int = DEAD_S
    now: int = 0


class Granted(msgspec.Struct):
    """What the script answers.

    Attributes:
        second: The server's second, which the lease counts in.
        requests: Requests that were leased.
        tokens: Tokens that were leased.
        places: Places in flight that this replica holds now, those in use included.
        money: Money that was leased, 1e-9 USD.
        wait_requests: Whole seconds until what was asked for fits; 0: it does.
        wait_tokens: The same for tokens.
        requests_left: Requests that are left of the limit.
        tokens_left: Tokens that are left of the limit.
        places_others: Places in flight of the other replicas.
        spent: Money leased or spent by all replicas, 1e-9 USD.
    """

    second: int
    requests: int
    tokens: int
    places: int
    money: int
    wait_requests: int
    wait_tokens: int
    requests_left: int
    tokens_left: int
    places_others: int
    spent: int


def granted(reply: list[int | bytes | str]) -> Granted:
    """The script's answer. Large numbers come as text: Lua would round them."""
    return Granted(*(int(value) for value in reply))
