-- Writes a batch of changes and journals those that change something.
-- KEYS  1 meta (hash: generation, epoch, sequence)  2 journal (stream)  3.. one hash per kind
-- ARGV  1 epoch  2 generation  3 sequence the caller saw last  4 length limit of the journal
--       then four per change: number of the kind (1 = KEYS[3]), its name, key, value ('' deletes)
-- Returns {status, sequence}; status 0 = written, 1 = fenced off by a newer epoch, 2 = not the caller's mirror any more
--       (flushed, or writes were lost in a failover): claim again and compare
local meta, journal = KEYS[1], KEYS[2]
local state = redis.call('HMGET', meta, 'generation', 'epoch', 'sequence')
if state[1] ~= ARGV[2] then return {2, 0} end
if tonumber(state[2]) > tonumber(ARGV[1]) then return {1, 0} end
if state[3] ~= ARGV[3] then return {2, 0} end
local sequence = tonumber(state[3])
for i = 5, #ARGV, 4 do
  local hash, kind, key, value = KEYS[2 + tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local before = redis.call('HGET', hash, key)
  if value == '' then
    if before then
      sequence = sequence + 1
      redis.call('HDEL', hash, key)
      redis.call('XADD', journal, 'MAXLEN', '~', ARGV[4], '*', 's', sequence, 'g', ARGV[2], 'k', kind, 'n', key)
    end
  elseif before ~= value then
    sequence = sequence + 1
    redis.call('HSET', hash, key, value)
    redis.call('XADD', journal, 'MAXLEN', '~', ARGV[4], '*', 's', sequence, 'g', ARGV[2], 'k', kind, 'n', key, 'v', value)
  end
end
redis.call('HSET', meta, 'sequence', sequence)
return {0, sequence}
