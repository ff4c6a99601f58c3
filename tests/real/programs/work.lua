-- SPDX-License-Identifier: MIT
-- Tables, strings, closures, coroutines, collection. Prints counts and checksums.

local state = 12345
local function number(limit)
    state = (state * 1103515245 + 12345) % 2147483648
    return math.floor(state / 65536) % limit
end

local function checksum(text)
    local sum = 7
    for i = 1, #text do
        sum = (sum * 31 + text:byte(i)) % 1000000007
    end
    return sum
end

local words, order = {}, {}
for i = 1, 100000 do
    local letters = {}
    for k = 1, 2 + number(4) do
        letters[k] = string.char(97 + number(26))
    end
    local word = table.concat(letters)
    if not words[word] then
        words[word] = {}
        order[#order + 1] = word
    end
    table.insert(words[word], i)
end
table.sort(order)
local lines = {}
for i, word in ipairs(order) do
    lines[i] = word .. "=" .. table.concat(words[word], ",")
end
local text = table.concat(lines, "\n")
print("words", #order, checksum(text))

local count = 0
local changed = text:gsub("(%l)(%l)", function(a, b) count = count + 1 return b .. a end)
print("gsub", count, checksum(changed))

for round = 1, 10 do
    local tree = {}
    for _ = 1, 5000 do
        local at = tree
        for _ = 1, 5 do
            local key = number(8)
            at[key] = at[key] or {}
            at = at[key]
        end
    end
    collectgarbage()
end

local producers = {}
for i = 1, 200 do
    producers[i] = coroutine.wrap(function()
        for n = 1, 20 do
            coroutine.yield(string.rep(tostring(i), n))
        end
    end)
end
local out = {}
for _ = 1, 20 do
    for i = 1, #producers do
        out[#out + 1] = producers[i]()
    end
end
print("coroutines", #out, checksum(table.concat(out)))
