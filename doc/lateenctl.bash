# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for lateenctl(8)

_lateenctl()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="status nodes pods policies flows ipsec wait recompute"
    local word command="" words=""

    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        [[ " $commands " == *" $word "* ]] && command=$word
    done
    case $prev in
    -o | --output)
        words="table json"
        ;;
    -t | --target)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --table)
        words=$(ovs-vsctl --timeout=2 --bare --columns=name \
                    list Flow_Table 2>/dev/null)
        ;;
    --policy)
        words=$(lateenctl --timeout=2 policies 2>/dev/null |
                    awk 'NR > 1 { print $1 "/" $2 }')
        ;;
    --for)
        words="synced"
        ;;
    *)
        case $command in
        "") words="$commands --output --target --timeout --help --version" ;;
        policies) words="--stats" ;;
        ipsec) words="verify" ;;
        flows) words="--pod --policy --node --table" ;;
        wait) words="--for=synced" ;;
        esac
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _lateenctl lateenctl
