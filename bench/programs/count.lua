-- SPDX-License-Identifier: MIT
-- For wrk: ends after so many answers, so that the time is that of a fixed amount of work. BENCH_SIZE is the amount.
-- wrk itself would sleep to the end of its time, so this ends the process.
local wanted = tonumber(os.getenv("BENCH_SIZE"))
local count = 0

response = function()
  count = count + 1
  if count == wanted then os.exit(0) end
end
