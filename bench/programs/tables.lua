-- SPDX-License-Identifier: MIT
-- Tables and strings: builds a tree and a dictionary of records, and drops them, in rounds.
local size = math.tointeger(tonumber(arg[1]))
local total = 0

local function tree(depth, value)
  if depth == 0 then return { value = value } end
  return { value = value, left = tree(depth - 1, 2 * value), right = tree(depth - 1, 2 * value + 1) }
end

local function sum(node)
  if not node.left then return node.value % 7 end
  return node.value % 7 + sum(node.left) + sum(node.right)
end

for round = 1, 4 do
  local records, keys = {}, {}
  for i = 1, size do
    local key = string.format("key-%d-%d", round, i * 7919 % 100003)
    if not records[key] then keys[#keys + 1] = key end
    records[key] = { id = i, name = key:upper(), tags = { i % 7, i % 31, tostring(i % 97) } }
  end
  table.sort(keys)
  local parts = {}
  for i = 1, #keys, 3 do parts[#parts + 1] = records[keys[i]].name .. "=" .. records[keys[i]].tags[3] end
  total = (total * 31 + #table.concat(parts, ",") + sum(tree(12, round))) % 1000003
end
print(total)
