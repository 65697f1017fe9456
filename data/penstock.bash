# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for penstock(1)

_penstock() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb='' i

    COMPREPLY=()
    case $prev in
        --user)
            mapfile -t COMPREPLY < <(compgen -u -- "$cur")
            return
            ;;
        -c | -S | --conf | --socket)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            compopt -o filenames
            return
            ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -c | -S | --conf | --socket | --user) i=$((i + 1)) ;;
            -*) ;;
            *)
                verb=${COMP_WORDS[i]}
                break
                ;;
        esac
    done
    case $verb in
        '') mapfile -t COMPREPLY < <(compgen -W 'status test sessions explain check config reload -S --help --version' -- "$cur") ;;
        status) mapfile -t COMPREPLY < <(compgen -W '--json --watch -S' -- "$cur") ;;
        test) mapfile -t COMPREPLY < <(compgen -W '--json -c -S' -- "$cur") ;;
        explain)
            if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--json --user -c -S' -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")
            fi
            ;;
        check)
            if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--json' -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                compopt -o filenames
            fi
            ;;
        config) mapfile -t COMPREPLY < <(compgen -W '--json --secrets -S' -- "$cur") ;;
        sessions | reload) mapfile -t COMPREPLY < <(compgen -W '--json -S' -- "$cur") ;;
    esac
}

complete -F _penstock penstock
