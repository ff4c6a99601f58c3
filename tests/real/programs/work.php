<?php
// SPDX-License-Identifier: MIT
// Arrays, strings, objects in cycles, serialization, what extensions allocate. Prints counts and checksums.

$lists = [];
for ($i = 0; $i < 200000; $i++)
    $lists['k' . ($i * 7919 % 50021)][] = $i;
ksort($lists);
$sum = 0;
foreach ($lists as $key => $list)
    $sum = ($sum * 31 + count($list) + crc32($key)) % 1000003;
echo "lists $sum\n";

$text = str_repeat('lorem ipsum dolor ', 10000);
$upper = preg_replace_callback('/\b(\w)(\w+)/', fn($match) => strtoupper($match[1]) . $match[2], $text);
echo 'text ', md5($upper), ' ', count(token_get_all('<?php ' . str_repeat('$a = [1, "b"];', 2000))), "\n";

$stored = serialize($lists);
echo 'stored ', strlen($stored), ' ', count(unserialize($stored)), ' ', strlen(json_encode($lists)), "\n";

class Node
{
    public $self;
    public $other;
}
for ($i = 0; $i < 100000; $i++) {
    $node = new Node();
    $node->self = $node;
    $node->other = new Node();
}
gc_collect_cycles();

$archive = new PharData(sys_get_temp_dir() . '/work.tar');
for ($i = 0; $i < 50; $i++)
    $archive->addFromString("file$i", str_repeat(chr(97 + $i % 26), $i * 100));
echo 'archive ', count($archive), ' ', strlen($archive['file49']->getContent()), "\n";
echo 'iconv ', md5(iconv('UTF-8', 'UTF-16', str_repeat('äöü', 20000))), "\n";
