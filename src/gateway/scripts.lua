#!lua name=__regears
-- Runs a client's Lua script so that it can call commands which the engine does not have: the script is a coroutine that
-- yields the command, and the gateway resumes it with the reply. Loaded into the engine by lua.ts; paused scripts live in
-- this library's `paused`, for the engine itself forgets everything between two calls.
local paused = {}
-- In place of a reply: the script is to send the command itself.
local yourself = {}

-- pcall and xpcall of Lua 5.1 can not be yielded across, so they are made of coroutines here.
local function protected(handler, f, ...)
  local co = coroutine.create(f)
  local function go(...)
    local results = { n = select('#', ...), ... }
    if not results[1] then
      return false, handler and handler(results[2]) or results[2]
    end
    if coroutine.status(co) == 'suspended' then
      return go(coroutine.resume(co, coroutine.yield(unpack(results, 2, results.n))))
    end
    return unpack(results, 1, results.n)
  end
  return go(coroutine.resume(co, ...))
end

-- Numbers as the engine writes those that scripts give to commands.
local function written(value)
  if type(value) ~= 'number' then
    return value
  end
  if value == math.floor(value) and math.abs(value) < 1e17 then
    return string.format('%.0f', value)
  end
  for digits = 15, 16 do
    local text = string.format('%.' .. digits .. 'g', value)
    if tonumber(text) == value then
      return text
    end
  end
  return string.format('%.17g', value)
end

local function step(id, co, ...)
  local ok, value = coroutine.resume(co, ...)
  if ok and coroutine.status(co) == 'suspended' then
    paused[id] = co
    local reply = { 'call' }
    for i = 1, #value do
      reply[i + 1] = written(value[i])
    end
    return reply
  end
  paused[id] = nil
  if ok then
    return { 'done', value }
  end
  if type(value) == 'table' and value.err then
    return { 'fail', value.err }
  end
  return { 'fail', 'ERR ' .. tostring(value) }
end

-- ARGV: id, the names of the commands that are run outside the engine as a JSON object ('*' is all of them), script, the
-- script's ARGV
redis.register_function('__regears_start', function(keys, args)
  local id, source = args[1], args[3]
  local argv = {}
  for i = 4, #args do
    argv[i - 3] = args[i]
  end
  -- the line that may name the engine and flags is no Lua
  source = source:gsub('^#![^\n]*', '')
  local chunk, problem = loadstring('local KEYS, ARGV, redis, server, pcall, xpcall = ... ' .. source, '@user_script')
  if not chunk then
    return { 'fail', 'ERR Error compiling script (new function): ' .. problem }
  end
  local engine, outside = redis, cjson.decode(args[2])
  local function ask(...)
    local name = ...
    for i = 1, select('#', ...) do
      local kind = type((select(i, ...)))
      -- the engine says what is wrong
      if kind ~= 'string' and kind ~= 'number' then
        return false
      end
    end
    return type(name) == 'string' and (outside['*'] or outside[name:lower()] or name:sub(1, 3):lower() == 'rg.')
  end
  -- What a script has set for itself the engine forgets between two calls.
  local database, resp
  local function own(run, ...)
    local reply = run(...)
    local name, number = ...
    local good = not (type(reply) == 'table' and reply.err)
    if good and type(name) == 'string' and name:lower() == 'select' then
      database = number
    end
    return reply
  end
  local function outside_engine(...)
    local reply = coroutine.yield({ (database or resp) and 'apart' or '', ... })
    if resp then
      engine.setresp(resp)
    end
    if database then
      engine.call('SELECT', database)
    end
    return reply
  end
  local api = setmetatable({
    setresp = function(version)
      engine.setresp(version)
      resp = version
    end,
    call = function(...)
      if not ask(...) then
        return own(engine.call, ...)
      end
      local reply = outside_engine(...)
      if reply == yourself then
        return own(engine.call, ...)
      end
      if type(reply) == 'table' and reply.err then
        error(reply)
      end
      return reply
    end,
    pcall = function(...)
      if not ask(...) then
        return own(engine.pcall, ...)
      end
      local reply = outside_engine(...)
      if reply == yourself then
        return own(engine.pcall, ...)
      end
      return reply
    end,
  }, { __index = engine })
  local try = function(f, ...)
    return protected(nil, f, ...)
  end
  local xtry = function(f, handler)
    return protected(handler, f)
  end
  return step(id, coroutine.create(chunk), keys, argv, api, api, try, xtry)
end)

-- ARGV: id, the reply as MessagePack; without it the script sends the command itself
redis.register_function('__regears_resume', function(keys, args)
  if #args < 2 then
    return step(args[1], paused[args[1]], yourself)
  end
  return step(args[1], paused[args[1]], cmsgpack.unpack(args[2]))
end)

-- ARGV: id of a script that nobody will resume
redis.register_function('__regears_forget', function(keys, args)
  paused[args[1]] = nil
end)
