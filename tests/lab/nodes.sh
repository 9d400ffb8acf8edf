#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# nodes.sh: the nodes of a lab, on this kernel.  See "lab help"; needs root.
#
# Everything is in $LATEEN_LAB_RUN (default /run/lateen/lab): a folder for each
# node with the run directories of its daemons, the cluster's manifests in
# cluster/, a file for each pod in pods/, and logs in log/.
#
# Where each node has a machine of its own (see vms), $LATEEN_LAB_NODE is the
# only one here, the device eth1 leads to the others, and $LATEEN_LAB_SHARED is
# a folder that all machines share.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
run=${LATEEN_LAB_RUN:-/run/lateen/lab}
only=${LATEEN_LAB_NODE:-}
shared=${LATEEN_LAB_SHARED:-$run}
builddir=${LATEEN_LAB_BUILD:-$top}
programs=$run/programs
export PATH=$programs:$PATH:/usr/sbin:/sbin
t0=$(date +%s%N)

die() {
    echo "lab: $*" >&2
    exit 1
}

say() {
    printf '[%5.1f s] %s\n' \
        "$(awk -v t=$(($(date +%s%N) - t0)) 'BEGIN { print t / 1e9 }')" "$*"
}

# wait_until SECONDS WHAT COMMAND...
wait_until() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || die "waited in vain for $what"
        sleep 0.1
    done
}

. "$here/pods.sh"

# Names
# -----

node_number() { echo "${1#n}"; }
is_node() { [[ $1 =~ ^n[0-9]+$ ]] && [ -d "$run/$1" ]; }
nodes() {
    local i
    if [ -n "$only" ]; then
        echo "$only"
        return
    fi
    for ((i = 1; i <= $(cat "$run/nodes"); i++)); do
        echo "n$i"
    done
}

# in_node NODE COMMAND...: in the node's network, with its daemons' sockets.
in_node() {
    (exec_in_node "$@")
}

# The same in place of this shell, so that $! is the command's own process.
exec_in_node() {
    local node=$1
    shift
    exec env OVS_RUNDIR="$run/$node/ovs" OVS_LOGDIR="$run/log" \
        OVS_DBDIR="$run/$node/ovs" LATEEN_RUNDIR="$run/$node/lateen" \
        LATEEN_STATEDIR="$run/$node/lateen" \
        LATEEN_IKE="$programs/lateen-ike" \
        STRONGSWAN_CONF="$run/$node/strongswan.conf" \
        PATH="$run/$node/bin:$PATH" ip netns exec "$node" "$@"
}

# Network
# -------

# host NETNS IPV4/LENGTH IPV6/LENGTH: a host on the underlay.
host() {
    ip netns add "$1"
    ip -n "$1" link set lo up
    # Nobody waits for duplicate address detection in a lab.
    ip netns exec "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 \
        net.ipv6.conf.default.accept_dad=0
    ip -n "$1" link add eth0 type veth peer name "s-$1" netns lab-switch
    ip -n lab-switch link set "s-$1" master br0
    ip -n lab-switch link set "s-$1" up
    ip -n "$1" link set eth0 up
    ip -n "$1" address add "$2" dev eth0
    ip -n "$1" address add "$3" dev eth0 nodad
}

up_network() {
    local i node
    ip netns add lab-switch
    ip -n lab-switch link add br0 type bridge mcast_snooping 0
    ip -n lab-switch link set br0 up
    if [ -n "$only" ]; then
        ip link set eth1 netns lab-switch
        ip -n lab-switch link set eth1 master br0 up
    fi
    if [ "${only:-n1}" = n1 ]; then
        # The world outside: a router with an address that nobody masquerades
        # for.
        host outside "${router[@]}"
        ip -n outside address add 198.51.100.1/32 dev lo
        ip -n outside address add 2001:db8:f::1/128 dev lo
        # Where nodes have their usual addresses, this one is free.
        [ "$cluster" != "$shared/cluster" ] ||
            host stranger 192.0.2.200/24 2001:db8::c8/64
    fi
    for node in $(nodes); do
        i=$(node_number "$node")
        host "$node" "${ip4[i]}/${router[0]#*/}" "${ip6[i]}/${router[1]#*/}"
        ip -n "$node" route add default via "${router[0]%/*}"
        ip -n "$node" route add default via "${router[1]%/*}"
    done
}

# Daemons
# -------

up_ovs() {
    start_ovsdb "$1"
    start_vswitchd "$1"
}

start_ovsdb() {
    local node=$1 dir=$run/$1/ovs
    mkdir -p "$dir"
    [ -e "$dir/conf.db" ] ||
        ovsdb-tool create "$dir/conf.db" \
            /usr/share/openvswitch/vswitch.ovsschema
    in_node "$node" ovsdb-server "$dir/conf.db" \
        --remote="punix:$dir/db.sock" --pidfile="$dir/ovsdb-server.pid" \
        --unixctl="$dir/ovsdb-server.ctl" --detach --no-chdir \
        --log-file="$run/log/$node-ovsdb-server.log" -vconsole:off 2>/dev/null
    # As ovs-ctl does.
    in_node "$node" ovs-vsctl --no-wait init -- set Open_vSwitch . \
        "ovs-version=$(ovs-vswitchd --version | sed 's/.*) //; q')"
}

start_vswitchd() {
    local node=$1 dir=$run/$1/ovs
    # In the first ten seconds after boot, ovs-vswitchd would start no threads
    # that handle upcalls.
    wait_until 20 "ten seconds of uptime" awk '{ exit $1 < 10.5 }' /proc/uptime
    in_node "$node" ovs-vswitchd "unix:$dir/db.sock" \
        --pidfile="$dir/ovs-vswitchd.pid" --detach --no-chdir \
        --log-file="$run/log/$node-ovs-vswitchd.log" -vconsole:off 2>/dev/null
}

configure_charon() {
    local node=$1 dir=$run/$1
    mkdir -p "$dir/bin"
    cat >"$dir/strongswan.conf" <<EOF
charon-systemd {
  load_modular = yes
  plugins {
    include /etc/strongswan.d/charon/*.conf
    forecast {
      load = no
    }
    kernel-libipsec {
      load = $kernel_libipsec
    }
    bypass-lan {
      load = $bypass_lan
    }
    vici {
      socket = unix://$dir/charon.vici
    }
  }
  filelog {
    lab {
      path = $run/log/$node-charon.txt
      time_format = %H:%M:%S
      time_add_ms = yes
      default = 1
      append = yes
      flush_line = yes
    }
  }
}
EOF
    cat >"$dir/bin/swanctl" <<EOF
#!/bin/sh
exec /usr/sbin/swanctl "\$@" --uri unix://$dir/charon.vici
EOF
    chmod +x "$dir/bin/swanctl"
}

start_charon() {
    local dir=$run/$1
    rm -f "$dir/charon.vici"
    exec_in_node "$1" setsid /usr/sbin/charon-systemd </dev/null \
        >"$run/log/$1-charon.out" 2>&1 &
    echo $! >"$dir/charon.pid"
    wait_until 60 "charon of $1" in_node "$1" "$dir/bin/swanctl" --stats
}

start_lateend() {
    local dir=$run/$1/lateen
    mkdir -p "$dir"
    exec_in_node "$1" setsid lateend --config="$run/$1/lateend.yaml" \
        --log-file="$run/log/$1-lateend.log" -vconsole:off </dev/null \
        >"$run/log/$1-lateend.out" 2>&1 &
    echo $! >"$dir/lateend.pid"
    wait_until 60 "lateend of $1 (see $run/log/$1-lateend.log)" \
        in_node "$1" lateenctl status
}

# stop_daemon PIDFILE [SIGNAL]: ends it and waits until it has gone.
stop_daemon() {
    local pid
    [ -s "$1" ] || return 0
    pid=$(cat "$1")
    kill "-${2:-TERM}" "$pid" 2>/dev/null || return 0
    # As systemd does it: charon hangs on its way out now and then.
    for _ in $(seq 300); do
        ! has_ended "$pid" || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || :
    wait_until 60 "the end of process $pid ($1)" has_ended "$pid"
}

# has_ended PID: one that nobody has waited for yet has ended as well.
has_ended() {
    ! grep '^State:' "/proc/$1/status" 2>/dev/null | grep -qv Z
}

configure_node() {
    local node=$1 dir=$run/$1
    mkdir -p "$dir/lateen"
    # The lab's own key; every lab has a new one.
    install -m 600 "$shared/psk" "$dir/psk"
    cat >"$dir/lateend.yaml" <<EOF
# See lateend.yaml(5).
node: ${names[$(node_number "$node")]}
source: dir:$cluster
cluster-cidrs: [$cluster_cidrs]
datapath-type: $datapath
tunnel:
  type: $tunnel
  family: ipv$family
ipsec:
  mode: $ipsec
  psk-file: $dir/psk
  vici-socket: $dir/charon.vici
masquerade:
  enabled: $masquerade
uplink: eth0
EOF
    cat >"$dir/cni.conf" <<EOF
{"cniVersion": "1.0.0", "name": "lateen", "type": "lateen-cni",
 "socket": "$dir/lateen/lateend.ctl", "capabilities": {"ips": true},
 "ipam": {"type": "host-local", "dataDir": "$dir/ipam"}}
EOF
}

write_cluster() {
    local i
    for ((i = 1; i <= nodes; i++)); do
        cat <<EOF
---
apiVersion: v1
kind: Node
metadata:
  name: ${names[i]}
spec:
  podCIDRs: [10.244.$i.0/24, "fd00:10:244:$(printf %x $i)::/64"]
status:
  addresses:
  - {type: InternalIP, address: ${ip4[i]}}
  - {type: InternalIP, address: "${ip6[i]}"}
EOF
    done >"$shared/cluster/nodes.yaml"
    add_namespace default
}

add_namespace() {
    [ -e "$shared/cluster/namespace-$1.yaml" ] ||
        printf 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: "%s"\n' \
            "$1" >"$shared/cluster/namespace-$1.yaml"
}

# parse_up OPTION...: what "lab up" is told, as variables.
parse_up() {
    local name address address6 i
    nodes=2 tunnel=geneve ipsec=required family=4 datapath=system
    bypass_lan=yes kernel_libipsec=no capture=
    names=('') ip4=('') ip6=('') router=(192.0.2.254/24 2001:db8::fe/64)
    cluster=$shared/cluster cluster_cidrs='10.244.0.0/16, "fd00:10:244::/48"'
    masquerade=true
    while [ $# -gt 0 ]; do
        case $1 in
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ; continue ;;
        --nodes | --node | --router | --cluster | --cluster-cidrs | \
            --datapath | --tunnel | --ipsec | --family | --capture)
            [ $# -ge 2 ] || die "up: $1 wants a value (see lab help)"
            ;;
        esac
        case $1 in
        --nodes) nodes=$2; shift ;;
        --node)
            read -r name address address6 <<<"$2"
            names+=("$name") ip4+=("$address") ip6+=("$address6")
            nodes=$((${#names[@]} - 1))
            shift
            ;;
        --router) read -ra router <<<"$2"; shift ;;
        --cluster) cluster=$2; shift ;;
        --cluster-cidrs) cluster_cidrs=$2; shift ;;
        --no-masquerade) masquerade=false ;;
        --datapath) datapath=$2; shift ;;
        --tunnel) tunnel=$2; shift ;;
        --ipsec) ipsec=$2; shift ;;
        --family) family=$2; shift ;;
        --capture) capture=$2; shift ;;
        --kernel-libipsec) kernel_libipsec=yes ;;
        --no-bypass-lan) bypass_lan=no ;;
        *) die "up: unknown option \"$1\" (see lab help)" ;;
        esac
        shift
    done
    [[ $nodes =~ ^[1-9][0-9]?$ ]] || die "--nodes takes a number, 1 to 99"
    [[ $tunnel =~ ^(geneve|gre|vxlan)$ ]] ||
        die "--tunnel is geneve, gre or vxlan"
    [[ $ipsec =~ ^(required|off)$ ]] || die "--ipsec is required or off"
    [[ $family =~ ^[46]$ ]] || die "--family is 4 or 6"
    [[ $datapath =~ ^(system|netdev)$ ]] || die "--datapath is system or netdev"
    [ $datapath = system ] || [ $ipsec = off ] ||
        die "tunnels of the userspace datapath never meet the kernel's IPsec:" \
            "--datapath netdev needs --ipsec off"
    [ -x "$builddir/lateend" ] ||
        die "Lateen is not built in $builddir; \"make\" builds it"
    for ((i = ${#names[@]}; i <= nodes; i++)); do
        names+=("n$i") ip4+=("192.0.2.$i")
        ip6+=("2001:db8::$(printf %x $i)")
    done
}

cmd_up() {
    local node
    parse_up "$@"
    [ ! -e "$run" ] || die "$run exists: a lab is up, or was not ended"
    if [ $datapath = system ] && ! modprobe openvswitch 2>/dev/null &&
        [ ! -d /sys/module/openvswitch ]; then
        datapath=netdev
        [ "$ipsec" = off ] || die "this kernel has no openvswitch module, so" \
            "the userspace datapath is all there is, and its tunnels never" \
            "meet the kernel's IPsec: use --ipsec off, or --backend vm"
        say "no openvswitch module: userspace datapath, without IPsec;" \
            "it shows forwarding and policy, not encryption"
    fi

    if [ "$kernel_libipsec" = yes ]; then
        modprobe tun 2>/dev/null || [ -c /dev/net/tun ] ||
            die "kernel-libipsec needs /dev/net/tun, which this kernel lacks"
    fi

    # A lab runs what was built when it came up.
    mkdir -p "$run"/{log,pods,programs} "$shared/cluster"
    cp "$builddir"/{lateend,lateenctl,lateen-ike,lateen-cni} "$programs"
    echo "$nodes" >"$run/nodes"
    [ -e "$shared/psk" ] ||
        (umask 077; head -c 32 /dev/urandom | base64 >"$shared/psk")
    say "network: $nodes nodes, tunnel $tunnel, IPsec $ipsec," \
        "underlay IPv$family"
    up_network
    if [ -n "$capture" ]; then
        cmd_capture start "$capture"
    fi
    if [ "$cluster" = "$shared/cluster" ] && [ "${only:-n1}" = n1 ]; then
        write_cluster
    fi
    for node in $(nodes); do
        mkdir -p "$run/$node"
        configure_charon "$node"
        configure_node "$node"
    done
    declare -p nodes tunnel ipsec family datapath kernel_libipsec ip4 ip6 \
        router >"$run/settings"
    up_nodes
    if [ -n "$only" ]; then
        printf '#!/bin/bash\nexport %q %q %q\n%q boot\necho $? >/run/booted\n' \
            "LATEEN_LAB_RUN=$run" "LATEEN_LAB_NODE=$only" \
            "LATEEN_LAB_SHARED=$shared" "$here/nodes.sh" >"${run%/*}/boot"
        chmod +x "${run%/*}/boot"
        sync
    fi
    # The first packet between nodes is to pass.
    if [ "$ipsec" = required ] && [ "$kernel_libipsec" = no ]; then
        for node in $(nodes); do
            in_node "$node" lateenctl --timeout=120 wait --for=encrypted \
                >/dev/null
        done
    fi
    say "up: $(nodes | tr '\n' ' ')"
}

# What a node does at boot.
up_nodes() {
    local node
    for node in $(nodes); do
        # As lateen-guard.service does at boot, before Open vSwitch.
        in_node "$node" lateend --guard -vconsole:warn \
            --config="$run/$node/lateend.yaml"
    done
    if [ $datapath = netdev ]; then
        # Nobody completes the checksums of what userspace forwards.
        ethtool_off outside eth0
    fi
    for node in $(nodes); do
        say "$node: Open vSwitch"
        up_ovs "$node"
        if [ $datapath = netdev ]; then
            up_userspace_underlay "$node"
        fi
        if [ "$ipsec" = required ]; then
            say "$node: charon"
            start_charon "$node"
        fi
        say "$node: lateend"
        start_lateend "$node"
    done
    for node in $(nodes); do
        if [ "$kernel_libipsec" = no ]; then
            in_node "$node" lateenctl --timeout=60 wait --for=synced >/dev/null
        fi
    done
}

# The machine has crashed; what is on its disk comes up again.
cmd_boot() {
    local file
    . "$run/settings"
    find "$run" \( -name '*.pid' -o -type s \) -delete
    up_network
    up_nodes
    for file in "$run"/pods/*; do
        [ ! -e "$file" ] || restart_pod "$file"
    done
}

# Userspace tunnels need the underlay's address on a bridge of their own.
up_userspace_underlay() {
    local node=$1 i
    i=$(node_number "$node")
    ethtool_off "$node" eth0
    in_node "$node" ovs-vsctl add-br br-phy -- set bridge br-phy \
        datapath_type=netdev fail_mode=standalone -- add-port br-phy eth0
    # Open vSwitch sees what arrives before the kernel does, which would
    # forward it a second time.
    in_node "$node" nft -f - <<EOF
table netdev lab {
  chain in {
    type filter hook ingress device eth0 priority 0; policy drop;
  }
}
EOF
    ip -n "$node" address flush dev eth0
    ip -n "$node" link set br-phy up
    ip -n "$node" address add "${ip4[i]}/${router[0]#*/}" dev br-phy
    ip -n "$node" address add "${ip6[i]}/${router[1]#*/}" dev br-phy nodad
    ip -n "$node" route replace default via "${router[0]%/*}"
    ip -n "$node" route replace default via "${router[1]%/*}"
    sed -i 's/^uplink: .*/uplink: br-phy/' "$run/$node/lateend.yaml"
}

ethtool_off() {
    ip netns exec "$1" ethtool -K "$2" tx off >/dev/null 2>&1 || :
}

cmd_down() {
    local node ns pid complete=true
    [ -e "$run" ] || return 0
    for node in $(nodes); do
        stop_daemon "$run/$node/lateen/lateend.pid"
        stop_daemon "$run/$node/ovs/ovs-vswitchd.pid"
        stop_daemon "$run/$node/ovs/ovsdb-server.pid"
        stop_daemon "$run/$node/charon.pid"
    done
    cmd_capture stop || complete=false
    for ns in $(pod_namespaces) $(nodes) stranger outside lab-switch; do
        for pid in $(ip netns pids "$ns" 2>/dev/null); do
            kill -9 "$pid" 2>/dev/null || :
        done
        ip netns del "$ns" 2>/dev/null || :
    done
    rm -rf "$run"
    $complete
}

# The rest
# --------

cmd_exec() {
    local where=${1:-} file
    [ $# -ge 2 ] || die "exec NODE|NAMESPACE/POD -- COMMAND"
    shift
    [ "$1" != -- ] || shift
    if is_node "$where"; then
        in_node "$where" "$@"
    elif [ "$where" = stranger ] || [ "$where" = outside ]; then
        ip netns exec "$where" "$@"
    else
        file=$(pod_file "$where")
        [ -e "$file" ] || die "there is no node or pod \"$where\""
        . "$file"
        ip netns exec "$netns" "$@"
    fi
}

captured() {
    tail -c +"$3" "$2" | grep -aqF "$1"
}

# The kernel keeps packets for tcpdump, and tcpdump takes its time.  All that
# has been on the wire has been written when what is sent now has.
capture_sync() {
    local file size mark
    file=$(cat "$run/capture.file")
    size=$(stat -c %s "$file")
    mark=lateen-$(od -An -N 12 -t x1 /dev/urandom | tr -d ' ')
    ip netns exec stranger python3 - "$mark" <<'END'
import socket
import sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind(("eth0", 0))
    sock.send(bytes.fromhex("0200000000ff 0200000000fe 88b5")
              + sys.argv[1].encode())
END
    wait_until 60 "the capture" captured "$mark" "$file" $((size + 1))
}

cmd_capture() {
    case ${1:-} in
    start)
        [ $# -eq 2 ] || die "capture start FILE"
        [ ! -e "$run/capture.pid" ] || die "a capture runs already"
        # Every packet once: where it enters the switch.
        ip netns exec lab-switch setsid tcpdump -i any -Q in -U -Z root \
            -B 16384 -w "$2" </dev/null >"$run/log/tcpdump.out" 2>&1 &
        echo $! >"$run/capture.pid"
        echo "$2" >"$run/capture.file"
        wait_until 60 tcpdump grep -q listening "$run/log/tcpdump.out"
        ;;
    stop)
        [ -e "$run/capture.pid" ] || return 0
        (capture_sync) || echo "lab: the capture may lack its end" >&2
        stop_daemon "$run/capture.pid" INT
        rm "$run/capture.pid"
        grep -q '^0 packets dropped by kernel' "$run/log/tcpdump.out" || {
            echo "lab: the capture lacks packets:" \
                "$(grep dropped "$run/log/tcpdump.out")" >&2
            return 1
        }
        ;;
    summary)
        [ -n "${2:-}" ] || [ -e "$run/capture.file" ] ||
            die "there is no capture; \"lab capture start FILE\" makes one"
        [ ! -e "$run/capture.pid" ] || capture_sync
        python3 "$here/capture.py" "${2:-$(cat "$run/capture.file")}"
        ;;
    sync)
        [ -e "$run/capture.pid" ] || die "no capture runs"
        capture_sync
        ;;
    *)
        die "capture start FILE, stop, sync or summary [FILE]"
        ;;
    esac
}

cmd_daemon() {
    local daemon=$1 node=${2:-} pidfile
    is_node "$node" || die "$daemon: there is no node \"$node\""
    case $daemon in
    charon) pidfile=$run/$node/charon.pid ;;
    lateend) pidfile=$run/$node/lateen/lateend.pid ;;
    vswitchd) pidfile=$run/$node/ovs/ovs-vswitchd.pid ;;
    ovsdb) pidfile=$run/$node/ovs/ovsdb-server.pid ;;
    esac
    case ${3:-} in
    stop) stop_daemon "$pidfile" ;;
    kill) stop_daemon "$pidfile" KILL ;;
    start) "start_$daemon" "$node" ;;
    *) die "$daemon NODE stop|kill|start" ;;
    esac
}

cmd_status() {
    local node daemon pidfile
    printf '%-6s %-14s %s\n' NODE DAEMON STATE
    for node in $(nodes); do
        for daemon in ovs/ovsdb-server ovs/ovs-vswitchd charon lateen/lateend
        do
            pidfile=$run/$node/$daemon.pid
            [ -e "$pidfile" ] || continue
            printf '%-6s %-14s %s\n' "$node" "${daemon#*/}" "$(
                kill -0 "$(cat "$pidfile")" 2>/dev/null &&
                    echo "runs, process $(cat "$pidfile")" ||
                    echo "does not run")"
        done
    done
    cmd_pod list
}

command=${1:-}
[ $# -eq 0 ] || shift
if [ "$command" = check-options ]; then
    parse_up "$@"
    printf '%s\n' "$nodes" "$capture"
    exit
fi
[ "$(id -u)" = 0 ] || die "this needs root"
case $command in
up | down | boot) ;;
*) [ -e "$run/nodes" ] || die "no lab is up" ;;
esac
case $command in
up) cmd_up "$@" ;;
boot) cmd_boot ;;
down) cmd_down ;;
pod) cmd_pod "$@" ;;
apply) cmd_apply "$@" ;;
delete) cmd_delete "$@" ;;
settle) wait_for_manifests ;;
exec) cmd_exec "$@" ;;
capture) cmd_capture "$@" ;;
charon | lateend | vswitchd | ovsdb) cmd_daemon "$command" "$@" ;;
status) cmd_status ;;
*) die "unknown command \"$command\" (see lab help)" ;;
esac
