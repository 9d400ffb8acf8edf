# SPDX-License-Identifier: GPL-3.0-or-later
"""Random changes of a cluster, for the steps of generated cases and for
churn: see mutate()."""

import copy

import judge
import validity

FEWEST_PODS = 3


def mutate(maker, cluster):
    """Changes the cluster by one random edit and returns (name, actions): what
    the edit is called, and the actions that make it.  It is one action, unless
    the edit is about several things happening at once.  Most times it is an
    edit that changes what gets through, if a few tries find one.  "maker" is a
    generate.Maker."""
    questions = some_questions(maker, cluster)
    before = answers(cluster, questions)
    n_tries = maker.rng.choice([1, 5, 5])
    while True:
        name, edit = maker.rng.choice(EDITS)
        actions = edit(maker, cluster)
        if actions:
            changed = judge.Cluster(cluster.state())
            for action in actions:
                changed.apply(action)
            n_tries -= 1
            if n_tries <= 0 or answers(changed, questions) != before:
                break
    for action in actions:
        cluster.apply(action)
    return name, actions


def some_questions(maker, cluster):
    """Probes that show whether an edit changes anything: between pods, to
    ports that are served."""
    found = []
    for target in sorted(cluster.pods):
        for item in cluster.pods[target]["ports"]:
            found += [{"from": source, "to": target, "family": family,
                       "port": item["port"], "protocol": item["protocol"]}
                      for source in sorted(cluster.pods) for family in (4, 6)]
    return maker.some(found, 200, 200)


def answers(cluster, questions):
    """What the judge says; None where a pod has gone."""
    return [judge.Judge().allows(cluster, question)
            if {question["from"], question["to"]} <= set(cluster.pods)
            else None for question in questions]


# An edit returns its actions, or None if the cluster is not fit for it.  It
# leaves the cluster as it is.

def pod_labels(maker, cluster):
    """A pod's label comes, goes or changes; or all do."""
    key = maker.rng.choice(sorted(cluster.pods))
    old = cluster.pods[key]["labels"]
    new = other_labels(maker, old, maker.pod_labels(),
                       mentioned(cluster, "podSelector"))
    return new != old and [{"op": "setPodLabels", "pod": key, "labels": new}]


def namespace_labels(maker, cluster):
    name = maker.rng.choice(sorted(cluster.namespaces))
    old = cluster.namespaces[name]
    new = other_labels(maker, old, maker.namespace_labels(),
                       mentioned(cluster, "namespaceSelector"))
    new[judge.NAME_LABEL] = name
    return new != old and [{"op": "setNamespaceLabels", "namespace": name,
                            "labels": new}]


def other_labels(maker, old, drawn, wanted):
    """The labels drawn; or the old ones without one of them, or with one that
    is wanted, so that it matters, or with one of those drawn."""
    if maker.chance(0.2):
        return drawn
    new = dict(old)
    keys = sorted(set(old) - {judge.NAME_LABEL})
    if keys and maker.chance(0.4):
        del new[maker.rng.choice(keys)]
    elif wanted and maker.chance(0.7):
        key, value = maker.rng.choice(wanted)
        new[key] = value
    elif drawn:
        key = maker.rng.choice(sorted(drawn))
        new[key] = drawn[key]
    return new


def mentioned(cluster, member):
    """The labels, as pairs, of which selectors of that name speak."""
    found = set()

    def look(part):
        if isinstance(part, list):
            for item in part:
                look(item)
        elif isinstance(part, dict):
            selector = part.get(member) or {}
            found.update((selector.get("matchLabels") or {}).items())
            for expression in selector.get("matchExpressions") or []:
                for value in expression.get("values") or [""]:
                    found.add((expression["key"], value))
            for item in part.values():
                look(item)

    look(list(cluster.policies.values()))
    return sorted(found)


def create_policy(maker, cluster):
    return [{"op": "createPolicy", "policy": maker.policy(cluster)}]


def a_policy(maker, cluster):
    return maker.rng.choice([cluster.policies[key]
                             for key in sorted(cluster.policies)])


def delete_policy(maker, cluster):
    if not cluster.policies:
        return None
    metadata = a_policy(maker, cluster)["metadata"]
    return [{"op": "deletePolicy", "kind": "NetworkPolicy",
             "namespace": metadata["namespace"], "name": metadata["name"]}]


def replace_policy(maker, cluster):
    """A policy becomes another one, of the same name."""
    if not cluster.policies:
        return None
    policy = copy.deepcopy(a_policy(maker, cluster))
    policy["spec"] = maker.spec(cluster, policy["metadata"]["namespace"])
    return [{"op": "updatePolicy", "policy": policy}]


def edit_policy(maker, cluster):
    """One place of a policy changes."""
    if not cluster.policies:
        return None
    old = a_policy(maker, cluster)
    policy = copy.deepcopy(old)
    spec = policy["spec"]
    places = ["selector", "types", "ingress", "egress"]
    place = maker.rng.choice(places + ["ingress", "egress"] * 2)
    if place == "selector":
        spec["podSelector"] = maker.pod_selector(
            cluster, policy["metadata"]["namespace"])
    elif place == "types":
        spec.pop("policyTypes", None)
        types = maker.rng.choice([None, ["Ingress"], ["Egress"],
                                  ["Ingress", "Egress"]])
        if types:
            spec["policyTypes"] = types
    else:
        edit_rules(maker, cluster, spec.setdefault(place, []),
                   "from" if place == "ingress" else "to")
    if policy == old or undefined(spec) or \
            validity.refusals(cluster.resolve(policy)):
        return None
    return [{"op": "updatePolicy", "policy": policy}]


def edit_rules(maker, cluster, rules, peers_member):
    """One rule comes or goes, or one of its peers, ports or exceptions
    does."""
    rule = maker.rng.choice(rules) if rules else None
    blocks = [peer["ipBlock"] for peer in (rule or {}).get(peers_member, [])
              if "ipBlock" in peer]
    if rule is None or maker.chance(0.2):
        rules.append(maker.rule(cluster, peers_member))
    elif maker.chance(0.2):
        rules.remove(rule)
    elif blocks and maker.chance(0.5):
        block = maker.rng.choice(blocks)
        family = judge.network(block["cidr"]).version
        if judge.network(block["cidr"]).num_addresses > 1:
            add_or_remove(maker, block, "except",
                          maker.exception(cluster, block, family))
    elif maker.chance(0.5):
        add_or_remove(maker, rule, peers_member, maker.peer(cluster))
    else:
        add_or_remove(maker, rule, "ports", maker.port(not blocks))


def add_or_remove(maker, parent, member, item):
    """Adds the item to the list, or removes one.  The last one leaves the
    whole member with it, for an empty list would mean all and not nothing."""
    items = parent.setdefault(member, [])
    if items and maker.chance(0.5):
        items.remove(maker.rng.choice(items))
    else:
        items.append(item)
    if not items:
        del parent[member]


def undefined(spec):
    """Whether a named port meets an ipBlock."""
    return any(
        any("ipBlock" in peer for peer in rule.get(peers_member) or [])
        and any(isinstance(item.get("port"), str)
                for item in rule.get("ports") or [])
        for direction, peers_member in (("ingress", "from"), ("egress", "to"))
        for rule in spec.get(direction) or [])


def create_pod(maker, cluster):
    pod = maker.pod(cluster)
    return pod and [{"op": "createPod", "pod": pod}]


def delete_pod(maker, cluster):
    if len(cluster.pods) <= FEWEST_PODS:
        return None
    return [{"op": "deletePod", "pod": maker.rng.choice(sorted(cluster.pods))}]


def own_address_pods(cluster):
    return sorted(key for key, pod in cluster.pods.items()
                  if not pod.get("hostNetwork"))


def reuse_address(maker, cluster):
    """A pod goes, and another one takes its addresses at once, or only one of
    them."""
    keys = own_address_pods(cluster)
    pod = maker.pod(cluster)
    if not keys or not pod:
        return None
    old = cluster.pods[maker.rng.choice(keys)]
    pod.update(maker.addresses(cluster, old["node"]), node=old["node"])
    members = maker.rng.choice([["ip", "ip6"]] * 3 + [["ip"], ["ip6"]])
    pod.update((member, old[member]) for member in members)
    return [{"op": "deletePod", "pod": "%s/%s" % (old["ns"], old["name"])},
            {"op": "createPod", "pod": pod}]


def replace_pod(maker, cluster):
    """A pod comes back under its name as another one, elsewhere, or the same
    but for its ports."""
    key = maker.rng.choice(sorted(cluster.pods))
    pod = maker.pod(cluster)
    if not pod:
        return None
    old = copy.deepcopy(cluster.pods[key])
    if maker.chance(0.5):
        pod = {**old, "ports": pod["ports"]}
    pod.update(ns=old["ns"], name=old["name"])
    return [{"op": "deletePod", "pod": key}, {"op": "createPod", "pod": pod}]


def swap_addresses(maker, cluster):
    """Two pods of a node come back with each other's addresses."""
    node = maker.rng.choice(sorted(cluster.nodes))
    keys = [key for key in own_address_pods(cluster)
            if cluster.pods[key]["node"] == node]
    if len(keys) < 2:
        return None
    chosen = maker.rng.sample(keys, 2)
    one, other = (copy.deepcopy(cluster.pods[key]) for key in chosen)
    for member in "ip", "ip6":
        one[member], other[member] = other[member], one[member]
    return ([{"op": "deletePod", "pod": key} for key in chosen]
            + [{"op": "createPod", "pod": pod} for pod in (one, other)])


def namespace_with_pod(maker, name, pod):
    """The actions that make a namespace, and a pod in it."""
    return [{"op": "createNamespace", "namespace": name,
             "labels": {**maker.namespace_labels(), judge.NAME_LABEL: name}},
            {"op": "createPod", "pod": copy.deepcopy(pod)}]


def create_namespace(maker, cluster):
    name = maker.namespace_name(cluster)
    pod = name and maker.pod(cluster, name)
    return pod and namespace_with_pod(maker, name, pod)


def delete_namespace(maker, cluster):
    name = maker.rng.choice(sorted(cluster.namespaces))
    left = [pod for pod in cluster.pods.values() if pod["ns"] != name]
    if len(left) < FEWEST_PODS:
        return None
    return [{"op": "deleteNamespace", "namespace": name}]


def replace_namespace(maker, cluster):
    """A namespace goes and comes back with one of its pods, without its
    policies."""
    keys = own_address_pods(cluster)
    if not keys:
        return None
    pod = cluster.pods[maker.rng.choice(keys)]
    return ([{"op": "deleteNamespace", "namespace": pod["ns"]}]
            + namespace_with_pod(maker, pod["ns"], pod))


# What stands here twice comes twice as often.
EDITS = [("pod labels", pod_labels), ("pod labels", pod_labels),
         ("pod labels", pod_labels),
         ("namespace labels", namespace_labels),
         ("namespace labels", namespace_labels),
         ("namespace labels", namespace_labels),
         ("create policy", create_policy), ("create policy", create_policy),
         ("create policy", create_policy),
         ("delete policy", delete_policy),
         ("replace policy", replace_policy),
         ("edit policy", edit_policy), ("edit policy", edit_policy),
         ("edit policy", edit_policy),
         ("create pod", create_pod), ("delete pod", delete_pod),
         ("reuse address", reuse_address), ("reuse address", reuse_address),
         ("replace pod", replace_pod), ("replace pod", replace_pod),
         ("swap addresses", swap_addresses),
         ("create namespace", create_namespace),
         ("delete namespace", delete_namespace),
         ("replace namespace", replace_namespace)]
