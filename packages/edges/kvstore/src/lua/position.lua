-- Where the mirror stands, in one look.
-- KEYS  1 meta (hash)  2 journal (stream)
-- Returns {generation or '', sequence, id of the newest journal entry or '0-0'}
local state = redis.call('HMGET', KEYS[1], 'generation', 'sequence')
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {state[1] or '', tonumber(state[2] or '0'), last[1] and last[1][1] or '0-0'}
