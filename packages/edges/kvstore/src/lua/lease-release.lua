-- Gives a lease back, if it is still one's own.
-- KEYS  1 lease (string: holder)
-- ARGV  1 holder
-- Returns 1 when released, 0 when it was not the caller's
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
