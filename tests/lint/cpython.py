#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every case of CPython's test_gc, test_weakref and test_finalization, and where Weir's tests have it, or why it means
nothing in C. Checks that those tests are there, and that no case of the CPython of this machine is missing here."""

import ast
import re
from pathlib import Path

from source import files, read, report

# By file: cases (with * for any, and with their class where more than one has the name), then "suite/test" of
# tests/unit, or "- why not".
NO_CLASSES = "- types are no objects"
NO_TP_DEL = "- no finalizer makes a cycle uncollectable; what does is in cpython_gc/test_collect_garbage"
AT_EXIT = "- nothing is finalized when a process ends; WEIR_LEAKS tells what was left (tests/user/seeing.py)"
NO_PROXY = "- no proxies"
NO_COUNT = "- who refers weakly is not told"
NO_COMPARE = "- a weak reference is no key and is not compared; its object is"
NO_METHODS = "- no bound methods"
NO_EXCEPTIONS = "- no exceptions"
NO_DICT_COPY = "- no weak dictionaries that could be copied, updated or compared"
WEAK_MAP = "cpython_weakref/test_weak_values"
WEAK_WALK = "cpython_weakref/test_weak_values_destroy_while_iterating"
WEAK_RACE = "object_threads/upgrades_race_with_the_last_release"
NO_ATTRIBUTE = "- the callback is a field that the program has set"
NO_SUBCLASS = "- no subclasses; a struct that begins with a weir_weak is one: cpython_weakref/test_weak_values"
NO_FINALIZE = "- no weakref.finalize"

CASES = {
    "test_gc": {
        "test_list": "gc/test_list",
        "test_dict": "containers/cycles_through_each_are_collected",
        "test_tuple": "gc/test_tuple_of_two",
        "test_class test_newstyleclass": NO_CLASSES,
        "test_instance test_newinstance": "gc/test_instance_whose_cycle_hangs_on_another",
        "test_method": "gc/test_method_both_ways_and_a_live_one_between",
        "test_legacy_finalizer test_legacy_finalizer_newclass": NO_TP_DEL,
        "test_function": "- functions are no objects",
        "test_function_tp_clear_leaves_consistent_state": "cpython_gc/test_function_tp_clear_leaves_consistent_state",
        "test_frame": "- no frames",
        "test_saveall": "gc/test_saveall",
        "test_del test_del_newclass": "cpython_gc/test_del",
        "test_get_count": "gc/test_get_count_and_thresholds",
        "test_collect_generations": "gc/test_collect_generations",
        "test_trashcan": "object/long_lists_with_finalizers_on_a_small_stack",
        "test_trashcan_threads": "cpython_gc/test_trashcan_threads",
        "test_boom test_boom2 test_boom_new test_boom2_new": "cpython_gc/test_boom",
        "test_get_referents": "gc/test_get_referrers_and_referents",
        "test_is_tracked": "gc/test_is_tracked",
        "test_is_finalized": "gc/test_is_finalized",
        "test_bug1055820b": "cpython_gc/test_bug1055820b",
        "test_bug21435": "cpython_gc/test_bug21435",
        "test_garbage_at_shutdown test_gc_main_module_at_shutdown test_gc_ordinary_module_at_shutdown "
        "test_global_del_SystemExit": AT_EXIT,
        "test_get_stats": "cpython_gc/test_get_stats",
        "test_freeze": "gc/test_freeze",
        "test_get_objects test_get_objects_arguments": "gc/test_get_objects",
        "test_resurrection_only_happens_once_per_object": "gc/test_is_finalized",
        "test_resurrection_is_transitive": "gc/test_resurrection_is_transitive",
        "test_resurrection_does_not_block_cleanup_of_other_objects":
            "gc/test_resurrection_does_not_block_cleanup_of_other_objects",
        "test_trash_weakref_clear": "cpython_gc/test_trash_weakref_clear",
        "GCCallbackTests.test_collect GCCallbackTests.test_collect_generation": "gc/test_callbacks",
        "GCCallbackTests.test_collect_garbage": "cpython_gc/test_collect_garbage",
        "GCCallbackTests.test_refcount_errors": "cpython_gc/test_refcount_errors",
        "test_bug1055820c": "cpython_gc/test_bug1055820c",
        "test_bug1055820d": "cpython_gc/test_bug1055820d",
        "test_ast_fini": "- an interpreter's",
    },
    "test_weakref": {
        "test_basic_ref": "object/weak_basic_ref",
        "test_basic_callback": "object/weak_basic_callback",
        "test_cfunction": "- functions are no objects",
        "test_multiple_callbacks": "object/weak_basic_callback",
        "test_multiple_selfref_callbacks": "cpython_weakref/test_multiple_selfref_callbacks",
        "test_constructor_kwargs test_init test_classes": "- the compiler checks the arguments",
        "test_proxy_* test_basic_proxy test_shared_proxy_without_callback test_callable_proxy "
        "test_gc_during_proxy_creation test_newstyle_number_ops": NO_PROXY,
        "test_ref_reuse test_shared_ref_without_callback": "- each weak reference has memory of its own",
        "test_getweakrefcount test_getweakrefs": NO_COUNT,
        "test_callbacks_protected": NO_EXCEPTIONS,
        "test_sf_bug_840829": "cpython_weakref/test_sf_bug_840829",
        "test_callback_in_cycle": "gc/test_weakref_callbacks_of_trash_do_not_run",
        "test_callback_reachable_one_way": "cpython_weakref/test_callback_reachable_one_way",
        "test_callback_different_classes": "cpython_weakref/test_callback_different_classes",
        "test_callback_in_cycle_resurrection": "cpython_weakref/test_callback_in_cycle_resurrection",
        "test_callbacks_on_callback": "- a callback is no object that could be referred to",
        "test_gc_during_ref_creation": "- making a weak reference takes no memory and starts no pass",
        "test_ref_created_during_del": "cpython_weakref/test_ref_created_during_del",
        "test_equality test_ordering test_hashing": NO_COMPARE,
        "test_trashcan_16602": "cpython_weakref/test_trashcan_16602",
        "test_callback_attribute test_callback_attribute_after_deletion test_set_callback_attribute": NO_ATTRIBUTE,
        "test_callback_gcs": "cpython_weakref/test_callback_gcs",
        "test_subclass_refs test_subclass_refs_dont_replace_standard_refs test_subclass_refs_dont_conflate_callbacks "
        "test_subclass_refs_with_slots": NO_SUBCLASS,
        "test_subclass_refs_with_cycle": "gc/test_weakref_callbacks_of_trash_do_not_run",
        "WeakMethodTestCase.*": NO_METHODS,
        "test_weak_keyed_len_cycles test_weak_valued_len_cycles test_weak_keyed_len_race test_weak_valued_len_race "
        "test_weak_values test_weak_keys test_weak_valued_delitem test_weak_keyed_delitem": WEAK_MAP,
        "test_weak_keyed_iters test_weak_valued_iters test_weak_keys_destroy_while_iterating "
        "test_weak_values_destroy_while_iterating": WEAK_WALK,
        "test_make_weak_* test_weak_valued_dict_* test_weak_keyed_dict_* test_weak_valued_union_operators "
        "test_weak_keyed_union_operators test_weak_keyed_bad_delitem test_threaded_weak_*_copy "
        "test_threaded_weak_*_deepcopy test_remove_closure": NO_DICT_COPY,
        "test_weak_keyed_cascading_deletes": "containers/finalizers_clear_while_iterating",
        "test_threaded_weak_valued_setdefault test_threaded_weak_valued_pop test_threaded_weak_valued_consistency":
            WEAK_RACE,
        "FinalizeTestCase.*": NO_FINALIZE,
        "ModuleTestCase.*": "- no modules",
    },
    "test_finalization": {
        "SimpleFinalizationTest.test_simple": "cpython_finalization/test_simple",
        "SimpleFinalizationTest.test_simple_resurrect": "cpython_finalization/test_simple_resurrect",
        "test_non_gc": "cpython_finalization/test_non_gc",
        "test_non_gc_resurrect": "cpython_finalization/test_non_gc_resurrect",
        "SelfCycleFinalizationTest.test_simple": "cpython_finalization/self_cycle_test_simple",
        "SelfCycleFinalizationTest.test_simple_resurrect": "cpython_finalization/self_cycle_test_simple_resurrect",
        "test_simple_suicide": "cpython_finalization/self_cycle_test_simple_suicide",
        **{name: f"cpython_finalization/{name}" for name in (
            "test_homogenous", "test_homogenous_resurrect", "test_homogenous_suicidal",
            "test_heterogenous_suicidal_one", "test_heterogenous_suicidal_two", "test_heterogenous_resurrect_one",
            "test_heterogenous_resurrect_two", "test_heterogenous_resurrect_three")},
        "LegacyFinalizationTest.*": NO_TP_DEL,
    },
}


def unit_tests():
    """"suite/name" of all tests of tests/unit."""
    return {f"{suite}/{name}" for path in files("tests/unit", suffixes={".c"})
            for suite, name in re.findall(r"^Test\((\w+), (\w+)\b", read(path), re.MULTILINE)}


def not_there():
    there = unit_tests()
    return [f"{module}.{names}: no test {where}" for module, cases in CASES.items() for names, where in cases.items()
            if not where.startswith("- ") and where not in there]


def patterns(module):
    return [re.compile(re.escape(name).replace(r"\*", ".*") if "." in name else
                       r"\w+\." + re.escape(name).replace(r"\*", ".*"))
            for names in CASES[module] for name in names.split()]


def cpython_cases(path):
    """"Class.test_case" of a file of CPython's tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [f"{node.name}.{item.name}" for node in tree.body if isinstance(node, ast.ClassDef)
            for item in node.body if isinstance(item, ast.FunctionDef) and item.name.startswith("test_")]


def not_listed(folder):
    found = []
    for module in CASES:
        known = patterns(module)
        found += [f"{module}: {case} is not in the list" for case in cpython_cases(folder / f"{module}.py")
                  if not any(pattern.fullmatch(case) for pattern in known)]
    return found


def find_cpython():
    """CPython 3.11's own tests, of a package, or None: later versions have others."""
    folder = Path("/usr/lib/python3.11/test")
    return folder if all((folder / f"{module}.py").is_file() for module in CASES) else None


CPYTHON = find_cpython()
cases = [("the tests that stand for CPython's are there", not_there())]
if CPYTHON is None:
    cases.append(("no case of CPython 3.11 is missing # SKIP libpython3.11-testsuite is not installed", []))
else:
    cases.append(("no case of CPython 3.11 is missing", not_listed(CPYTHON)))
report(cases)
