# SPDX-License-Identifier: MIT
# Strings, hashes, threads, fibers, regular expressions, garbage collection. Prints counts and digests.
require 'digest'

random = Random.new(42)

words = Array.new(80_000) { (1..2 + random.rand(4)).map { (97 + random.rand(26)).chr }.join }
index = words.each_with_index.group_by(&:first).transform_values { |pairs| pairs.map(&:last) }
puts "words: #{index.size} #{Digest::MD5.hexdigest(index.sort.to_s)}"

text = words.join(' ')
puts "scan: #{text.scan(/\b[a-m]+[n-z]{2}\b/).size} #{Digest::MD5.hexdigest(text.gsub(/([aeiou])(.)/) { $2 + $1 })}"

Node = Struct.new(:number, :name, :links)
nodes = Array.new(40_000) { |i| Node.new(i, "node #{i}", []) }
nodes.each { |node| node.links = [3, 5, 7].map { |k| nodes[(node.number * k + 1) % nodes.size] } }
puts "links: #{nodes.sum { |node| node.links.sum(&:number) }}"
nodes = nil
GC.start

threads = Array.new(4) do |slot|
  Thread.new do
    own = Random.new(slot)
    Array.new(20_000) { own.rand(1_000_000).to_s(36) }.sort.each_slice(100).map(&:join)
  end
end
puts "threads: #{threads.map { |thread| Digest::MD5.hexdigest(thread.value.join) }.join(' ')}"

fibers = Array.new(500) { |i| Fiber.new { 3.times { |n| Fiber.yield "#{i}.#{n}" * (i % 20) } } }
puts "fibers: #{Digest::MD5.hexdigest(3.times.flat_map { fibers.map(&:resume) }.join)}"

copy = Marshal.load(Marshal.dump(index))
puts "marshal: #{copy == index}"

buffer = +''
100_000.times do |i|
  buffer << [i, i % 65_536].pack('Nn')
  buffer = buffer[-30_000..] if buffer.bytesize > 200_000
end
puts "buffer: #{buffer.bytesize} #{Digest::MD5.hexdigest(buffer)}"
GC.start
