# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# pods.sh: the pods of a lab, and what else is in its cluster; part of nodes.sh.

# Pods
# ----

pod_file() { echo "$run/pods/${1/\//.}"; }
pod_namespaces() {
    local file
    for file in "$run"/pods/*; do
        [ ! -e "$file" ] || (. "$file" && echo "$netns")
    done
}

# cni COMMAND POD-FILE: calls the plugin as a container runtime does.
cni() {
    local command=$1
    (
        . "$2"
        cni_conf "$node" "$ips" |
            in_node "$node" env CNI_COMMAND="$command" CNI_CONTAINERID="$id" \
                CNI_NETNS="/run/netns/$netns" CNI_IFNAME=eth0 \
                CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=$namespace;K8S_POD_NAME=$name" \
                CNI_PATH="$programs:/usr/lib/cni" "$programs/lateen-cni"
    )
}

# cni_conf NODE ADDRESSES: prints the plugin's standard input.
cni_conf() {
    local ip list=''
    for ip in $2; do
        list="$list, \"$ip\""
    done
    sed "s#^{#{\"runtimeConfig\": {\"ips\": [${list#, }]}, #" \
        "$run/$1/cni.conf"
}

# start_pod FILE NODE NAMESPACE NAME ADDRESSES: makes the pod's network
# namespace, calls the plugin and prints what that says.
start_pod() {
    local file=$1 node=$2 namespace=$3 name=$4 ips=$5 id netns
    id=$(echo "$namespace/$name $(date +%s%N)" | sha256sum | cut -c1-64)
    netns=pod-${id:0:8}
    ip netns add "$netns"
    ip netns exec "$netns" sysctl -qw net.ipv6.conf.default.accept_dad=0
    printf 'node=%q namespace=%q name=%q id=%q netns=%q ips=%q\n' \
        "$node" "$namespace" "$name" "$id" "$netns" "${ips# }" >"$file"
    cni ADD "$file" || { ip netns del "$netns"; return 1; }
    # What is on the disk outlives a crash: host-local's records too.
    [ -z "$only" ] || sync
}

# restart_pod FILE: as the runtime does after a crash.
restart_pod() {
    cni DEL "$1"
    (
        . "$1"
        start_pod "$1" "$node" "$namespace" "$name" "$ips"
    )
}

cmd_pod_add() {
    local node=$1 pod=$2 ips='' labels='' namespace name file result
    shift 2
    is_node "$node" || die "there is no node \"$node\""
    [[ $pod =~ ^[a-z0-9-]+/[a-z0-9.-]+$ ]] ||
        die "a pod is NAMESPACE/NAME, not \"$pod\""
    namespace=${pod%/*} name=${pod#*/}
    file=$(pod_file "$pod")
    [ ! -e "$file" ] || die "there is a pod $pod already"
    while [ $# -gt 0 ]; do
        case $1 in
        --ip) ips="$ips $2"; shift ;;
        --ip=*) ips="$ips ${1#*=}" ;;
        *=*) labels="$labels, ${1%%=*}: \"${1#*=}\"" ;;
        *) die "pod add: \"$1\" is no LABEL=VALUE" ;;
        esac
        shift
    done
    add_namespace "$namespace"
    cat >"$shared/cluster/pod-$namespace-$name.yaml.tmp" <<EOF
apiVersion: v1
kind: Pod
metadata: {name: "$name", namespace: "$namespace", labels: {${labels#, }}}
spec: {nodeName: $node, containers: []}
EOF
    mv "$shared/cluster/pod-$namespace-$name.yaml"{.tmp,}
    if ! result=$(start_pod "$file" "$node" "$namespace" "$name" "$ips"); then
        rm -f "$file" "$shared/cluster/pod-$namespace-$name.yaml"
        die "pod $pod: $result"
    fi
    printf '%s on %s: %s\n' "$pod" "$node" "$(python3 -c '
import json, sys
print(" ".join(ip["address"] for ip in json.load(sys.stdin)["ips"]))
' <<<"$result")"
}

cmd_pod_del() {
    local file pid
    file=$(pod_file "$1")
    [ -e "$file" ] || die "there is no pod \"$1\""
    cni DEL "$file"
    (
        . "$file"
        rm -f "$shared/cluster/pod-$namespace-$name.yaml"
        for pid in $(ip netns pids "$netns"); do
            kill -9 "$pid" 2>/dev/null || :
        done
        ip netns del "$netns"
    )
    rm "$file"
}

cmd_pod() {
    case ${1:-} in
    add)
        [ $# -ge 3 ] || die "pod add NODE NAMESPACE/NAME [LABEL=VALUE]..."
        cmd_pod_add "${@:2}"
        ;;
    del)
        [ $# -eq 2 ] || die "pod del NAMESPACE/NAME"
        cmd_pod_del "$2"
        ;;
    list)
        local file
        for file in "$run"/pods/*; do
            [ ! -e "$file" ] || (
                . "$file"
                printf '%-30s %-4s %s\n' "$namespace/$name" "$node" \
                    "$(ip -n "$netns" -br address show dev eth0 |
                        awk '{ $1 = $2 = ""; print }')"
            )
        done
        ;;
    *)
        die "pod add, pod del or pod list (see lab help)"
        ;;
    esac
}

# Other objects
# -------------

# The manifests that apply and delete are about.
manifest_file() {
    [[ ${1:-} =~ ^[a-z0-9][a-z0-9.-]*$ ]] ||
        die "a name for manifests is of small letters, digits, - and .," \
            "not \"${1:-}\""
    [ -d "$shared/cluster" ] ||
        die "this lab's cluster is not lab's to change (--cluster)"
    echo "$shared/cluster/applied-$1.yaml"
}

cmd_apply() {
    local file
    [ $# -eq 1 ] || die "apply NAME, with the manifests on standard input"
    file=$(manifest_file "$1")
    cat >"$file.tmp"
    mv "$file"{.tmp,}
    wait_for_manifests
}

cmd_delete() {
    local file
    [ $# -eq 1 ] || die "delete NAME"
    file=$(manifest_file "$1")
    [ -e "$file" ] || die "nothing was applied as \"$1\""
    rm "$file"
    wait_for_manifests
}

# Until every node's agent has what the manifests say in force.
wait_for_manifests() {
    local node error
    # An agent may look at a file that has gone twice before it believes it,
    # and does not hear at once of what another machine has changed.
    sleep ${only:+7} 0.5
    for node in $(nodes); do
        in_node "$node" lateenctl --timeout=60 wait --for=synced >/dev/null
        error=$(in_node "$node" lateenctl -o json status |
            python3 -c 'import json, sys
print("\n".join(json.load(sys.stdin)["source"]["errors"]))')
        [ -z "$error" ] || die "$node: $error"
    done
}
