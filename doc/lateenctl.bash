# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for lateenctl(8)

# The rows of a table of lateenctl's: columns 1 and 2, or 1 alone.
_lateenctl_names()
{
    lateenctl --timeout=2 "$1" 2>/dev/null |
        awk -v n="$2" 'NR > 1 { print n == 2 ? $1 "/" $2 : $1 }'
}

_lateenctl()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="status nodes pods policies flows ipsec wait recompute"
    local options="--output --target --timeout --help --version"
    local word command="" words=""

    # To bash, "=" is a word of its own.
    if [[ $cur == = ]]; then
        cur=""
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        if [[ -z $command && " $commands " == *" $word "* ]]; then
            command=$word
        elif [[ $command == ipsec && $word == verify ]]; then
            command="ipsec verify"
        fi
    done
    case $prev in
    -o | --output)
        words="table json"
        ;;
    -t | --target)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    -T | --timeout)
        ;;
    --table)
        words=$(ovs-vsctl --timeout=2 --bare --columns=name \
                    list Flow_Table 2>/dev/null)
        ;;
    --pod)
        words=$(_lateenctl_names pods 2)
        ;;
    --policy)
        words=$(_lateenctl_names policies 2)
        ;;
    --node)
        words=$(_lateenctl_names nodes 1)
        ;;
    --for)
        words="synced encrypted"
        ;;
    *)
        case $command in
        "") words=$commands ;;
        policies) words="--stats" ;;
        ipsec) words="verify" ;;
        "ipsec verify") words=$(_lateenctl_names nodes 1) ;;
        flows) words="--pod --policy --node --table" ;;
        wait) words="--for=synced --for=encrypted" ;;
        esac
        words+=" $options"
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _lateenctl lateenctl
