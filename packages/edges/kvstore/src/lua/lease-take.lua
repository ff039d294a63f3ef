-- Takes a lease that is free, or extends one's own.
-- KEYS  1 lease (string: holder)
-- ARGV  1 holder  2 time to live in milliseconds
-- Returns {1, holder} when held by the caller, {0, holder} when somebody else holds it
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, holder} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, ARGV[1]}
