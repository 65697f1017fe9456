# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for penstock(1)

_penstock() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb='' i

    COMPREPLY=()
    case $prev in
        -c | -S | --conf | --socket)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            compopt -o filenames
            return
            ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -c | -S | --conf | --socket) i=$((i + 1)) ;;
            -*) ;;
            *)
                verb=${COMP_WORDS[i]}
                break
                ;;
        esac
    done
    case $verb in
        '') mapfile -t COMPREPLY < <(compgen -W 'status test sessions check config reload -S --help --version' -- "$cur") ;;
        status) mapfile -t COMPREPLY < <(compgen -W '--json --watch -S' -- "$cur") ;;
        test) mapfile -t COMPREPLY < <(compgen -W '--json -c -S' -- "$cur") ;;
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
