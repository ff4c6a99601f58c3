# SPDX-License-Identifier: MIT
# Associative arrays, strings that grow, fields, substitutions. Prints counts and checksums.
function number(limit) {
    state = (state * 16807) % 2147483647
    return state % limit
}

function checksum(text,    i, sum) {
    sum = 7
    for (i = 1; i <= length(text); i += 7)
        sum = (sum * 31 + index("abcdefghijklmnopqrstuvwxyz0123456789 =,", substr(text, i, 1))) % 1000007
    return sum
}

BEGIN {
    state = 12345
    for (i = 1; i <= 60000; i++) {
        word = ""
        for (k = 2 + number(4); k > 0; k--)
            word = word substr("abcdefghijklmnopqrstuvwxyz", 1 + number(26), 1)
        if (!(word in list))
            order[++words] = word
        list[word] = list[word] i ","
    }
    for (i = 1; i <= words; i++)
        sum = (sum * 31 + checksum(order[i] "=" list[order[i]])) % 1000007
    print "words", words, sum
    for (i = 1; i <= 2000; i++) {
        text = text order[i] " "
        n = split(text, field, " ")
        if (n > 500)
            text = ""
    }
    print "fields", n, checksum(text)
    for (i = 1; i <= words; i++) {
        line = list[order[i]]
        changed += gsub(/[13579],/, "odd ", line)
        total += length(line)
        delete list[order[i]]
    }
    print "substitutions", changed, total
}
