# SPDX-License-Identifier: MIT
# Hashes, sorts, regular expressions, nested data that comes and goes. Prints counts and digests.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);

my $state = 12345;

sub number {
    my ($limit) = @_;
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return int($state / 65536) % $limit;
}

my %words;
for my $i (1 .. 200000) {
    my $word = join '', map { chr(97 + number(26)) } 1 .. 2 + number(4);
    $words{$word} .= "$i,";
}
print "words: ", scalar(keys %words), "\n";
print "by name: ", md5_hex(join ' ', map { "$_=$words{$_}" } sort keys %words), "\n";
print "by count: ", md5_hex(join ' ', sort { length $words{$a} <=> length $words{$b} || $a cmp $b } keys %words), "\n";

my $text = join ' ', map { sprintf '%s-%05d', substr(md5_hex($_), 0, 6), $_ } 1 .. 50000;
my $matches = () = $text =~ /\b[a-f]+\d+-0*(\d+)/g;
(my $changed = $text) =~ s/([a-f])(\d)/$2$1/g;
print "matches: $matches, changed: ", md5_hex($changed), "\n";

my @trees;
for my $round (1 .. 20) {
    my $tree = {};
    for my $i (1 .. 2000) {
        my $at = $tree;
        $at = $at->{ number(10) } ||= {} for 1 .. 4;
        push @{ $at->{list} }, "item $i of round $round";
    }
    push @trees, $tree;
    shift @trees if @trees > 5;
}

sub weigh {
    my ($tree) = @_;
    my $sum = 0;
    for my $key (sort keys %$tree) {
        my $value = $tree->{$key};
        $sum += ref $value eq 'HASH' ? weigh($value) : length join '', @$value;
    }
    return $sum;
}
print "trees: ", join(' ', map { weigh($_) } @trees), "\n";

my $buffer = '';
for my $i (1 .. 100000) {
    $buffer .= pack('NnC', $i, $i % 65536, $i % 256);
    $buffer = substr $buffer, -40000 if length $buffer > 200000;
}
print "buffer: ", length $buffer, ' ', md5_hex($buffer), "\n";
