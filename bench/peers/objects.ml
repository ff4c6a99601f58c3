(* SPDX-License-Identifier: MIT
   The measurements of objects.h in OCaml, which counts nothing and moves objects. *)

type node = Nil | Node of { mutable left : node; mutable right : node; mutable value : int }

let now () = Unix.gettimeofday () *. 1e9

let status_kib key =
  let file = open_in "/proc/self/status" and found = ref 0 in
  (try
     while true do
       let line = input_line file in
       if String.length line > String.length key && String.sub line 0 (String.length key) = key then
         Scanf.sscanf line "%s %d" (fun _ kib -> found := kib)
     done
   with End_of_file -> close_in file);
  !found

let start_kib = status_kib "VmRSS:"
let show name value kind = Printf.printf "%-24s %12.2f %s\n%!" name value kind
let show_size name key = show name (float_of_int (status_kib key - start_kib) /. 1024.) "MiB"
let show_peak what = show_size (what ^ "-peak") "VmHWM:"
let make () = Node { left = Nil; right = Nil; value = 0 }

let rec tree depth =
  if depth = 0 then make ()
  else
    let node = make () in
    (match node with
     | Node n -> n.left <- tree (depth - 1); n.right <- tree (depth - 1)
     | Nil -> ());
    node

let rec count_nodes = function Nil -> 0 | Node n -> 1 + count_nodes n.left + count_nodes n.right

let measure_trees n =
  let best = ref infinity in
  for _ = 1 to 4 do
    let start = now () in
    for _ = 1 to n do ignore (Sys.opaque_identity (tree 16)) done;
    best := min !best (now () -. start)
  done;
  show "trees" (!best /. float_of_int ((2 lsl 16) - 1) /. float_of_int n) "ns/node";
  show_peak "trees"

let measure_binary_trees most =
  let start = now () in
  let nodes = ref (count_nodes (tree (most + 1))) in
  let lasting = tree most in
  let depth = ref 4 in
  while !depth <= most do
    for _ = 1 to 1 lsl (most - !depth + 4) do nodes := !nodes + count_nodes (tree !depth) done;
    depth := !depth + 2
  done;
  nodes := !nodes + count_nodes lasting;
  show "binary-trees" ((now () -. start) /. 1e6) "ms";
  show "binary-trees-made" (float_of_int !nodes) "nodes";
  show_peak "binary-trees"

let rec populate node depth =
  match node with
  | Node n when depth > 0 ->
    n.left <- make ();
    n.right <- make ();
    populate n.left (depth - 1);
    populate n.right (depth - 1)
  | _ -> ()

let tree_size depth = (1 lsl (depth + 1)) - 1

let measure_gcbench most =
  let start = now () in
  ignore (Sys.opaque_identity (tree (most + 2)));
  let lasting = make () in
  populate lasting most;
  let numbers = Array.make 500000 0. in
  for i = 1 to 249999 do numbers.(i) <- 1. /. float_of_int i done;
  let depth = ref 4 in
  while !depth <= most do
    let times = 2 * tree_size (most + 2) / tree_size !depth in
    for _ = 1 to times do populate (make ()) !depth done;
    for _ = 1 to times do ignore (Sys.opaque_identity (tree !depth)) done;
    depth := !depth + 2
  done;
  if count_nodes lasting <> tree_size most || numbers.(1000) <> 1. /. 1000. then exit 1;
  show "gcbench" ((now () -. start) /. 1e6) "ms";
  show_peak "gcbench"

let graph n =
  Random.init 1;
  let nodes = Array.init n (fun _ -> make ()) in
  for i = n - 1 downto 1 do
    let j = Random.full_int (i + 1) in
    let node = nodes.(i) in
    nodes.(i) <- nodes.(j);
    nodes.(j) <- node
  done;
  Array.iteri
    (fun i node ->
      match node with
      | Node r ->
        if i + 1 < n then r.left <- nodes.(i + 1);
        r.right <- nodes.(Random.full_int n)
      | Nil -> ())
    nodes;
  nodes.(0)

let kept = ref Nil

let measure_full n =
  kept := graph n;
  Gc.full_major ();
  let best = ref infinity in
  for _ = 1 to 3 do
    let start = now () in
    Gc.major ();
    best := min !best (now () -. start)
  done;
  show "full-live" (!best /. float_of_int n) "ns/object";
  show_peak "full";
  kept := Nil;
  let start = now () in
  Gc.major ();
  show "full-dead" ((now () -. start) /. float_of_int n) "ns/object";
  Gc.compact ();
  show_size "full-rest" "VmRSS:"

let measure_churn n =
  let best = ref infinity in
  for _ = 1 to 3 do
    let start = now () in
    for i = 1 to n do
      let a = make () and b = make () in
      (match a, b with Node x, Node y -> y.left <- a; x.left <- b | _ -> ());
      ignore (Sys.opaque_identity a);
      if i mod 100000 = 0 then Gc.minor ()
    done;
    best := min !best (now () -. start)
  done;
  show "churn" (!best /. float_of_int n) "ns/pair";
  show_peak "churn"

let measure_pauses n =
  kept := graph n;
  let ring = Array.init 100000 (fun _ -> make ()) in
  Array.iter (fun node -> match node with Node r -> r.left <- node | Nil -> ()) ring;
  Gc.full_major ();
  let longest = ref 0. and busiest = ref 0. and total = ref 0. in
  for _ = 1 to 500 do
    let start = now () and start_busy = Sys.time () in
    for _ = 1 to 1000 do
      let fresh = make () in
      (match fresh with Node r -> r.left <- fresh | Nil -> ());
      ring.(Random.full_int 100000) <- fresh
    done;
    let took = now () -. start in
    longest := max !longest took;
    busiest := max !busiest (Sys.time () -. start_busy);
    total := !total +. took
  done;
  show "pauses-longest" (!longest /. 1e6) "ms";
  show "pauses-busiest" (!busiest *. 1e3) "ms";
  show "pauses-total" (!total /. 1e6) "ms";
  show_peak "pauses";
  kept := Nil

let measurements =
  [ "trees", measure_trees, 10; "binary-trees", measure_binary_trees, 14; "gcbench", measure_gcbench, 14;
    "full", measure_full, 1000000; "churn", measure_churn, 300000; "pauses", measure_pauses, 1000000 ]

let () =
  let given = Array.length Sys.argv in
  List.iter
    (fun (name, run, size) ->
      if given < 2 || Sys.argv.(1) = name then run (if given > 2 then int_of_string Sys.argv.(2) else size))
    measurements
