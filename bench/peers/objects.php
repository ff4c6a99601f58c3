<?php
# SPDX-License-Identifier: MIT
# The measurements of objects.h in PHP.

ini_set('memory_limit', '-1');

final class Node
{
    public ?Node $left = null;
    public ?Node $right = null;
    public int $value = 0;
}

function status_kib(string $key): int
{
    foreach (file('/proc/self/status') as $line)
        if (str_starts_with($line, $key))
            return (int) substr($line, strlen($key));
    return 0;
}

$start_kib = status_kib('VmRSS:');

function show(string $name, float $value, string $unit): void
{
    printf("%-24s %12.2f %s\n", $name, $value, $unit);
}

function show_peak(string $what): void
{
    global $start_kib;
    show("$what-peak", (status_kib('VmHWM:') - $start_kib) / 1024, 'MiB');
}

function tree(int $depth): Node
{
    $node = new Node;
    if ($depth > 0) {
        $node->left = tree($depth - 1);
        $node->right = tree($depth - 1);
    }
    return $node;
}

function count_nodes(Node $node): int
{
    return $node->left === null ? 1 : 1 + count_nodes($node->left) + count_nodes($node->right);
}

function measure_trees(int $n): void
{
    $best = INF;
    for ($batch = 0; $batch < 4; $batch++) {
        $start = hrtime(true);
        for ($i = 0; $i < $n; $i++)
            tree(16);
        $best = min($best, hrtime(true) - $start);
    }
    show('trees', $best / ((2 << 16) - 1) / $n, 'ns/node');
    show_peak('trees');
}

function measure_binary_trees(int $most): void
{
    $start = hrtime(true);
    $nodes = count_nodes(tree($most + 1));
    $lasting = tree($most);
    for ($depth = 4; $depth <= $most; $depth += 2)
        for ($i = 1 << ($most - $depth + 4); $i > 0; $i--)
            $nodes += count_nodes(tree($depth));
    $nodes += count_nodes($lasting);
    unset($lasting);
    show('binary-trees', (hrtime(true) - $start) / 1e6, 'ms');
    show('binary-trees-made', $nodes, 'nodes');
    show_peak('binary-trees');
}

function populate(Node $node, int $depth): void
{
    if ($depth <= 0)
        return;
    $node->left = new Node;
    $node->right = new Node;
    populate($node->left, $depth - 1);
    populate($node->right, $depth - 1);
}

function tree_size(int $depth): int
{
    return (1 << ($depth + 1)) - 1;
}

function measure_gcbench(int $most): void
{
    $start = hrtime(true);
    tree($most + 2);
    $lasting = new Node;
    populate($lasting, $most);
    $array = array_fill(0, 500000, 0.0);
    for ($i = 1; $i < 250000; $i++)
        $array[$i] = 1.0 / $i;
    for ($depth = 4; $depth <= $most; $depth += 2) {
        $times = intdiv(2 * tree_size($most + 2), tree_size($depth));
        for ($i = 0; $i < $times; $i++)
            populate(new Node, $depth);
        for ($i = 0; $i < $times; $i++)
            tree($depth);
    }
    if (count_nodes($lasting) !== tree_size($most) || $array[1000] !== 1.0 / 1000)
        exit(1);
    unset($lasting, $array);
    show('gcbench', (hrtime(true) - $start) / 1e6, 'ms');
    show_peak('gcbench');
}

function graph(int $n): Node
{
    $nodes = [];
    for ($i = 0; $i < $n; $i++)
        $nodes[] = new Node;
    mt_srand(1);
    for ($i = $n - 1; $i > 0; $i--) {
        $j = mt_rand(0, $i);
        $node = $nodes[$i];
        $nodes[$i] = $nodes[$j];
        $nodes[$j] = $node;
    }
    for ($i = 0; $i < $n; $i++) {
        $nodes[$i]->left = $nodes[$i + 1] ?? null;
        $nodes[$i]->right = $nodes[mt_rand(0, $n - 1)];
    }
    return $nodes[0];
}

/** Makes all of the graph candidates again: PHP looks at those whose count has gone down. */
function touch_all(Node $root): void
{
    for ($node = $root; $node !== null; $node = $next) {
        $next = $node->left;
        $other = $node;
        unset($other);
    }
}

function measure_full(int $n): void
{
    global $start_kib;
    gc_disable();
    $root = graph($n);
    $best = INF;
    for ($round = 0; $round < 3; $round++) {
        touch_all($root);
        $start = hrtime(true);
        gc_collect_cycles();
        $best = min($best, hrtime(true) - $start);
    }
    show('full-live', $best / $n, 'ns/object');
    show_peak('full');
    touch_all($root);
    unset($root);
    $start = hrtime(true);
    gc_collect_cycles();
    show('full-dead', (hrtime(true) - $start) / $n, 'ns/object');
    gc_mem_caches();
    show('full-rest', (status_kib('VmRSS:') - $start_kib) / 1024, 'MiB');
}

function measure_churn(int $n): void
{
    gc_disable();
    $best = INF;
    for ($round = 0; $round < 3; $round++) {
        $start = hrtime(true);
        for ($i = 1; $i <= $n; $i++) {
            $a = new Node;
            $b = new Node;
            $b->left = $a;
            $a->left = $b;
            if ($i % 100000 === 0)
                gc_collect_cycles();
        }
        $best = min($best, hrtime(true) - $start);
    }
    show('churn', $best / $n, 'ns/pair');
    show_peak('churn');
}

/** Processor time, ns. */
function busy(): float
{
    $usage = getrusage();
    return ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1e9 +
        ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) * 1e3;
}

/* Nothing to poll: passes come by themselves. */
function measure_pauses(int $n): void
{
    gc_disable();
    $root = graph($n);
    $ring = [];
    for ($i = 0; $i < 100000; $i++) {
        $ring[$i] = new Node;
        $ring[$i]->left = $ring[$i];
    }
    gc_collect_cycles();
    gc_enable();
    $longest = $busiest = $total = 0;
    for ($turn = 0; $turn < 500; $turn++) {
        $start = hrtime(true);
        $start_busy = busy();
        for ($i = 0; $i < 1000; $i++) {
            $fresh = new Node;
            $fresh->left = $fresh;
            $ring[mt_rand(0, 99999)] = $fresh;
        }
        $took = hrtime(true) - $start;
        $longest = max($longest, $took);
        $busiest = max($busiest, busy() - $start_busy);
        $total += $took;
    }
    show('pauses-longest', $longest / 1e6, 'ms');
    show('pauses-busiest', $busiest / 1e6, 'ms');
    show('pauses-total', $total / 1e6, 'ms');
    show_peak('pauses');
}

$measurements = ['trees' => ['measure_trees', 2], 'binary-trees' => ['measure_binary_trees', 14],
    'gcbench' => ['measure_gcbench', 14], 'full' => ['measure_full', 1000000],
    'churn' => ['measure_churn', 300000], 'pauses' => ['measure_pauses', 1000000]];
foreach ($measurements as $name => [$run, $size])
    if ($argc < 2 || $argv[1] === $name)
        $run((int) ($argv[2] ?? $size));
