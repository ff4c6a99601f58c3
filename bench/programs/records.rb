# SPDX-License-Identifier: MIT
# Objects, strings and hashes: builds an index of records, changes it, and takes a report from it.
size = Integer(ARGV[0])
Record = Struct.new(:id, :name, :tags, :score)
total = 0
4.times do |round|
  records = Array.new(size) do |i|
    Record.new(i, "name #{i * 7919 % 100_003}", Array.new(4) { |k| "t#{i * k % 97}" }, i * 37 % 1009)
  end
  index = records.group_by { |r| r.name[-3..] }
  index.each_value { |group| group.sort_by! { |r| [-r.score, r.name] } }
  report = index.map { |key, group| "#{key}: #{group.map { |r| r.tags.join('/') }.first(3).join(', ')}" }.sort
  words = report.join("\n").scan(/\w+/).tally
  records.reject! { |r| r.id % 50 != round }
  total = (total * 31 + words.values.sum + report.size + records.size) % 1_000_003
end
puts total
