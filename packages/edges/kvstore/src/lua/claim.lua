-- Makes the caller the writer of the mirror, or says who fences it off. An empty mirror (first start, FLUSHALL) gets a new generation.
-- KEYS  1 meta (hash: generation, epoch, sequence)  2 journal (stream)  3.. one hash per kind
-- ARGV  1 epoch of the caller  2 name of a new generation  3 length limit of the journal
-- Returns {status, generation, sequence, epoch}; status 0 = claimed, 1 = a newer epoch holds the mirror
local meta, journal = KEYS[1], KEYS[2]
local epoch = tonumber(redis.call('HGET', meta, 'epoch') or '0')
local generation = redis.call('HGET', meta, 'generation')
if generation and epoch > tonumber(ARGV[1]) then
  return {1, generation, 0, epoch}
end
local sequence = tonumber(redis.call('HGET', meta, 'sequence') or '0')
if not generation then
  -- Whatever survived without its meta data is of unknown age.
  for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
  redis.call('DEL', journal)
  generation, sequence = ARGV[2], 1
  redis.call('HSET', meta, 'generation', generation, 'sequence', sequence)
  redis.call('XADD', journal, 'MAXLEN', '~', ARGV[3], '*', 's', sequence, 'g', generation, 'k', '')
end
redis.call('HSET', meta, 'epoch', ARGV[1])
return {0, generation, sequence, tonumber(ARGV[1])}
