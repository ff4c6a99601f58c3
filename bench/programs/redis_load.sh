#!/bin/sh
# SPDX-License-Identifier: MIT
# Fills a redis on port $1 with values of several kinds, $2 of each, asks for them, and then deletes most of them at
# random: what a cache goes through.
set -e
redis-benchmark -p "$1" -q -n "$2" -c 20 -P 8 -r "$2" -d 300 -t set,get >/dev/null
redis-benchmark -p "$1" -q -n "$2" -c 20 -P 8 -r 1000 -d 80 -t hset,sadd,lpush >/dev/null
redis-cli -p "$1" --raw eval "
for _, key in ipairs(redis.call('keys', 'key:*')) do
    if tonumber(string.sub(key, -4)) % 50 ~= 0 then redis.call('del', key) end
end
return 0" 0 >/dev/null
