"""What Redis does with jobs, each in one step that no other server of the jobs comes between.

Below a prefix: `job:ID` a hash a job; `waiting` and `wait:PATH` the ids that wait, by number; `paths` the
addresses with a `wait:`; `running` the owner of each id that runs; `alive:OWNER` for as long as a server is
heard of; `done` and `failed` the ids that ended, by time; `key:KEY` the id of an idempotency key. Times are
Redis's own. Scripts build names of keys themselves, which a Redis cluster would refuse.
"""

_COMMON = """
local P = ARGV[1]
local function now()
  local at = redis.call('TIME')
  return at[1] + at[2] / 1000000
end
local function wait(id, path, number)
  redis.call('ZADD', P .. 'waiting', number, id)
  redis.call('ZADD', P .. 'wait:' .. path, number, id)
  redis.call('SADD', P .. 'paths', path)
end
local function finish(id, state, status, headers, answer, keep_ms)
  local job, ended = P .. 'job:' .. id, now()
  redis.call('HDEL', P .. 'running', id)
  redis.call('HSET', job, 'state', state, 'status', status, 'answer_headers', headers, 'answer', answer,
    'ended', string.format('%.6f', ended), 'body', '')
  redis.call('ZADD', P .. state, ended, id)
  redis.call('PEXPIRE', job, keep_ms)
  local key = redis.call('HGET', job, 'key')
  if key ~= '' then redis.call('PEXPIRE', P .. 'key:' .. key, keep_ms) end
end
local function give_up(id, message, keep_ms)
  finish(id, 'failed', 500, '[["content-type","application/json"]]', message, keep_ms)
end
"""
SUBMIT = (
    _COMMON
    + """
local id, key, digest, path, headers, body, most = unpack(ARGV, 2)
if redis.call('EXISTS', P .. 'job:' .. id) == 1 then return {'job', id} end
if key ~= '' then
  local known = redis.call('GET', P .. 'key:' .. key)
  local was = known and redis.call('HGET', P .. 'job:' .. known, 'digest')
  if was then return was == digest and {'job', known} or {'other'} end
end
if redis.call('ZCARD', P .. 'waiting') >= tonumber(most) then return {'full'} end
local number = redis.call('INCR', P .. 'number')
redis.call('HSET', P .. 'job:' .. id, 'key', key, 'digest', digest, 'path', path, 'headers', headers,
  'body', body, 'state', 'queued', 'runs', 0, 'number', number, 'created', string.format('%.6f', now()))
if key ~= '' then redis.call('SET', P .. 'key:' .. key, id) end
wait(id, path, number)
return {'job', id}
"""
)
"""id, idempotency key or '', digest, path, headers, body, how many may wait. A second call is the first."""
CLAIM = (
    _COMMON
    + """
local owner, alive_ms, held, paths = ARGV[2], ARGV[3], cjson.decode(ARGV[4]), cjson.decode(ARGV[5])
redis.call('SET', P .. 'alive:' .. owner, 1, 'PX', alive_ms)
local runs = redis.call('HGETALL', P .. 'running')
local best, where, first
for at = 1, #runs, 2 do
  if runs[at + 1] == owner and not held[runs[at]] then best = runs[at] end
end
for _, path in ipairs(best and {} or paths) do
  local head = redis.call('ZRANGE', P .. 'wait:' .. path, 0, 0, 'WITHSCORES')
  if not head[1] then redis.call('SREM', P .. 'paths', path)
  elseif not first or tonumber(head[2]) < first then best, where, first = head[1], path, tonumber(head[2]) end
end
if not best then return false end
if where then
  redis.call('ZREM', P .. 'waiting', best)
  redis.call('ZREM', P .. 'wait:' .. where, best)
end
local job = P .. 'job:' .. best
redis.call('HSET', P .. 'running', best, owner)
redis.call('HSET', job, 'state', 'running')
redis.call('HINCRBY', job, 'runs', 1)
return {best, unpack(redis.call('HMGET', job, 'path', 'headers', 'body'))}
"""
)
"""owner, for how long it counts as alive, the ids that it runs (keys of an object), the addresses that it
answers. One that is its own and that it does not run was handed out in an answer that was lost."""
FINISH = (
    _COMMON
    + """
local id, owner, state, status, headers, answer, keep_ms = unpack(ARGV, 2)
if redis.call('HGET', P .. 'running', id) == owner then
  finish(id, state, status, headers, answer, keep_ms)
end
"""
)
"""id, owner, state, status, headers, answer, for how long it is kept."""
PUT_BACK = (
    _COMMON
    + """
local id, owner = ARGV[2], ARGV[3]
if redis.call('HGET', P .. 'running', id) ~= owner then return end
local job = P .. 'job:' .. id
redis.call('HDEL', P .. 'running', id)
redis.call('HSET', job, 'state', 'queued')
redis.call('HINCRBY', job, 'runs', -1)
wait(id, redis.call('HGET', job, 'path'), redis.call('INCR', P .. 'number'))
"""
)
"""id, owner."""
CANCEL = (
    _COMMON
    + """
local job = P .. 'job:' .. ARGV[2]
local path, key = unpack(redis.call('HMGET', job, 'path', 'key'))
if not path then return 0 end
redis.call('DEL', job)
if key ~= '' then redis.call('DEL', P .. 'key:' .. key) end
redis.call('HDEL', P .. 'running', ARGV[2])
for _, name in ipairs({'waiting', 'wait:' .. path, 'done', 'failed'}) do
  redis.call('ZREM', P .. name, ARGV[2])
end
return 1
"""
)
"""id."""
SWEEP = (
    _COMMON
    + """
local keep_ms, most_runs, message = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
for _, state in ipairs({'done', 'failed'}) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. state, '-inf', now() - keep_ms / 1000)) do
    local key = redis.call('HGET', P .. 'job:' .. id, 'key')
    if key and key ~= '' then redis.call('DEL', P .. 'key:' .. key) end
    redis.call('DEL', P .. 'job:' .. id)
    redis.call('ZREM', P .. state, id)
  end
end
local runs = redis.call('HGETALL', P .. 'running')
for at = 1, #runs, 2 do
  if redis.call('EXISTS', P .. 'alive:' .. runs[at + 1]) == 0 then
    local id = runs[at]
    local path, number, count = unpack(redis.call('HMGET', P .. 'job:' .. id, 'path', 'number', 'runs'))
    if not path then redis.call('HDEL', P .. 'running', id)
    elseif tonumber(count) >= most_runs then give_up(id, message, keep_ms)
    else
      redis.call('HDEL', P .. 'running', id)
      redis.call('HSET', P .. 'job:' .. id, 'state', 'queued')
      wait(id, path, number)
    end
  end
end
"""
)
"""For how long an answer is kept, how often a job may end its server, what is then said of it."""
