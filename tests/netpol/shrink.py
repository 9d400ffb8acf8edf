#! /usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a failing case small: usage: shrink.py FILE -- COMMAND...

COMMAND gets the name of a case file as its last argument, and exits with a
status other than 0 as long as the case fails.  Takes away from the case what
it can while it fails, and writes the rest to FILE.min.json.  The case stays
one that makes sense, of policies that the API server accepts, and what its
probes expect is what judge.py says.

Let COMMAND fail only for the fault that is being looked for, and limit its
time by itself ("timeout 60 replay")."""

import copy
import json
import subprocess
import sys

sys.dont_write_bytecode = True

import generate
import judge
import validity


class Shrinker:
    """A case, which becomes smaller, and the question whether it fails."""

    def __init__(self, case, fails):
        self.fails = fails
        self.n_asked = 0
        self.tried = set()
        self.case = case = copy.deepcopy(case)
        for step in case.get("steps", []):
            step.pop("desc", None)
        if not self.attempt(case):
            raise judge.CaseError("the case does not fail")

    def attempt(self, case):
        """Takes the case for the present one, if it is valid and fails."""
        case = judged(case)
        if case is None:
            return False
        mark = hash(json.dumps(case, sort_keys=True))
        if mark in self.tried:
            return False
        self.tried.add(mark)
        self.n_asked += 1
        if not self.fails(case):
            return False
        self.case = case
        return True

    def size(self):
        return len(json.dumps(self.case))

    def run(self):
        """Takes things away until nothing more goes."""
        size = None
        while size != self.size():
            size = self.size()
            self.fold_steps()
            for names in LISTS:
                for path in paths(self.case, names):
                    self.shrink_at(path)

    def fold_steps(self):
        """Starts with the state after the first step, or makes one step out
        of two."""
        while self.case.get("steps"):
            cluster = judge.Cluster(self.case)
            first, *rest = self.case["steps"]
            for action in first["actions"]:
                cluster.apply(action)
            if not self.attempt({**self.case, **cluster.state(),
                                 "probes": first["probes"], "steps": rest}):
                break
        n = 0
        while n + 1 < len(self.case.get("steps", [])):
            case = copy.deepcopy(self.case)
            first, second = case["steps"][n:n + 2]
            second["actions"] = first["actions"] + second["actions"]
            del case["steps"][n]
            if not self.attempt(case):
                n += 1

    def shrink_at(self, path):
        """Takes items out of the list or members out of the object at the
        path: half of them at a time, then a quarter, then one by one."""
        chunk = max(1, len(removable(self.case, path)) // 2)
        while True:
            start = 0
            while start < len(removable(self.case, path)):
                case = copy.deepcopy(self.case)
                remove(case, path, start, chunk)
                if not self.attempt(case):
                    start += chunk
            if chunk == 1:
                break
            chunk //= 2
        # Missing may be something else than empty.
        if find(self.case, path) in ([], {}) and not needed(path):
            case = copy.deepcopy(self.case)
            del find(case, path[:-1])[path[-1]]
            self.attempt(case)


# What may be taken away, from the coarse to the fine: paths to lists and
# objects, in which "*" stands for each item or member.
RULES = [("spec", direction) for direction in ("ingress", "egress")]
PEERS = [rules + ("*", member) for rules, member in zip(RULES, ("from", "to"))]
SELECTORS = [("spec", "podSelector")] + [
    peers + ("*", member) for peers in PEERS
    for member in ("podSelector", "namespaceSelector")]
IN_POLICY = RULES + PEERS + [rules + ("*", "ports") for rules in RULES]
IN_POLICY += [rules + ("*", "ports", "*") for rules in RULES]
IN_POLICY += [peers + ("*",) for peers in PEERS]
IN_POLICY += [peers + ("*", "ipBlock", "except") for peers in PEERS]
IN_POLICY += [selector + more for selector in SELECTORS for more in (
    ("matchLabels",), ("matchExpressions",),
    ("matchExpressions", "*", "values"), ())]
IN_POLICY += [("spec",)]
LISTS = [("steps",), ("probes",), ("steps", "*", "probes"),
         ("steps", "*", "actions"), ("policies",), ("pods",)]
LISTS += [where + more for more in IN_POLICY
          for where in (("policies", "*"),
                        ("steps", "*", "actions", "*", "policy"))]
LISTS += [("namespaces",), ("namespaces", "*"),
          ("pods", "*", "labels"), ("pods", "*", "ports"),
          ("steps", "*", "actions", "*", "labels"),
          ("steps", "*", "actions", "*", "pod", "labels"),
          ("steps", "*", "actions", "*", "pod", "ports")]


def find(where, path):
    """What is at the path, None if nothing."""
    for name in path:
        try:
            where = where[name]
        except (KeyError, IndexError, TypeError):
            return None
    return where if isinstance(where, (list, dict)) else None


def needed(path):
    """Whether the member at the path has to be there, even if it is empty."""
    if path[-1] in ("podSelector", "ports"):
        return path[-2] == "spec" or "spec" not in path
    return path[-1] in ("steps", "probes", "actions", "policies", "pods",
                        "labels")


def removable(case, path):
    """The indices or the names of what may go from what is at the path."""
    where = find(case, path)
    if isinstance(where, list):
        return list(range(len(where)))
    names = set(where or {})
    if path[-1] == "spec":
        names.discard("podSelector")
    if path[-1] != "matchLabels":
        names.discard(judge.NAME_LABEL)
    return sorted(names)


def remove(case, path, start, count):
    """Takes some of what is removable away."""
    where = find(case, path)
    for name in reversed(removable(case, path)[start:start + count]):
        del where[name]


def paths(case, names):
    """All paths in the case that the names with "*" stand for.  The last ones
    come first, for what goes away moves what follows it."""
    found = [()]
    for name in names:
        longer = []
        for path in found:
            where = find(case, path)
            if name == "*" and isinstance(where, list):
                longer += [path + (n,) for n in reversed(range(len(where)))]
            elif name == "*" and isinstance(where, dict):
                longer += [path + (key,) for key in sorted(where)]
            elif find(case, path + (name,)) is not None:
                longer.append(path + (name,))
        found = longer
    return found


def judged(case):
    """A copy of the case in which the judge says what to expect; None if the
    case makes no sense, probes nothing, or the API server refuses a policy of
    it."""
    case = copy.deepcopy(case)
    if not any(stage["probes"] for stage in [case] + case.get("steps", [])):
        return None
    try:
        for _, cluster, probes in judge.stages(case):
            if any(validity.refusals(policy)
                   for policy in cluster.policies.values()):
                return None
            probes[:] = [generate.judged(cluster, probe) for probe in probes]
    except (judge.CaseError, KeyError, ValueError):
        return None
    case["features"] = generate.features({"steps": [], **case})
    return case


def command_fails(command, name):
    """A function that writes a case to the file of that name and says whether
    the command fails."""
    def fails(case):
        with open(name, "w", encoding="utf-8") as stream:
            stream.write(generate.dump(case))
        return subprocess.run(command + [name], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL,
                              check=False).returncode != 0
    return fails


def main(arguments):
    if len(arguments) < 3 or arguments[1] != "--":
        sys.exit("usage: shrink.py FILE -- COMMAND...")
    with open(arguments[0], encoding="utf-8") as stream:
        case = json.load(stream)
    output = arguments[0] + ".min.json"
    try:
        shrinker = Shrinker(case, command_fails(arguments[2:], output))
    except judge.CaseError as error:
        sys.exit("shrink.py: %s: %s" % (arguments[0], error))
    shrinker.run()
    with open(output, "w", encoding="utf-8") as stream:
        stream.write(generate.dump(shrinker.case))
    print("%s: %d bytes of JSON, the command ran %d times"
          % (output, shrinker.size(), shrinker.n_asked))


if __name__ == "__main__":
    main(sys.argv[1:])
