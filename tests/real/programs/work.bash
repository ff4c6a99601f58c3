# SPDX-License-Identifier: MIT
# Arrays, strings, functions, pipes and subshells. Prints counts and checksums.
declare -A list
state=12345
for ((i = 0; i < 20000; i++)); do
    ((state = (state * 16807) % 2147483647, n = state % 5000))
    list[key$n]+="$i,"
done
echo "keys ${#list[@]}"
for key in "${!list[@]}"; do
    echo "$key=${list[$key]}"
done | LC_ALL=C sort | cksum

text=
for ((i = 0; i < 3000; i++)); do
    text+="word$i "
    ((${#text} > 20000)) && text=${text//word/w}
done
echo "text ${#text}"

fib() {
    (($1 < 2)) && echo "$1" && return
    local a b
    a=$(fib $(($1 - 1)))
    b=$(fib $(($1 - 2)))
    echo $((a + b))
}
echo "fib $(fib 11)"

mapfile -t lines < <(seq 1 30000)
echo "lines ${#lines[@]} ${lines[12345]} ${lines[*]:100:20}"
