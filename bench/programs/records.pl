# SPDX-License-Identifier: MIT
# Hashes of arrays, regular expressions and strings: a log is taken apart, counted and reported.
use strict;
use warnings;

my $size = shift;
my $total = 0;
for my $round (0 .. 3) {
    my (%by_path, %by_user);
    for my $i (0 .. $size - 1) {
        my $line = sprintf "10.%d.%d.%d user%d /shop/item%d?page=%d %d", $i % 7, $i % 31, $i % 251, $i % 997,
            $i * 7919 % 5003, $i % 17, $i * 37 % 90001;
        next unless $line =~ m{^(\S+) (\w+) (/\w+/\w+)\?page=(\d+) (\d+)$};
        push @{$by_path{$3}}, {ip => $1, user => $2, page => $4, bytes => $5};
        $by_user{$2}{$1} += $5;
    }
    for my $path (sort keys %by_path) {
        my @rows = sort { $b->{bytes} <=> $a->{bytes} || $a->{ip} cmp $b->{ip} } @{$by_path{$path}};
        $total = ($total * 31 + @rows + length join(',', map { "$_->{user}=$_->{bytes}" } @rows)) % 1000003;
    }
    $total += scalar map { keys %{$by_user{$_}} } keys %by_user;
}
print "$total\n";
