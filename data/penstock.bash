# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for penstock(1)

_penstock() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb='' i

    COMPREPLY=()
    case $prev in
        --by)
            mapfile -t COMPREPLY < <(compgen -W 'user unit name' -- "$cur")
            return
            ;;
        --sort)
            mapfile -t COMPREPLY < <(compgen -W 'age up down user process unit name destination route state' -- "$cur")
            return
            ;;
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
            -c | -S | --conf | --socket | --user | --sort | --by) i=$((i + 1)) ;;
            -*) ;;
            *)
                verb=${COMP_WORDS[i]}
                break
                ;;
        esac
    done
    case $verb in
        '') mapfile -t COMPREPLY < <(compgen -W 'status test sessions top history monitor explain check config reload help version -S --help --version' -- "$cur") ;;
        status) mapfile -t COMPREPLY < <(compgen -W '--json --watch --check -S' -- "$cur") ;;
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
        sessions) mapfile -t COMPREPLY < <(compgen -W '--json --sort -S' -- "$cur") ;;
        top) mapfile -t COMPREPLY < <(compgen -W '--json --by -S' -- "$cur") ;;
        version) mapfile -t COMPREPLY < <(compgen -W '--json' -- "$cur") ;;
        history | monitor | reload) mapfile -t COMPREPLY < <(compgen -W '--json -S' -- "$cur") ;;
    esac
}

complete -F _penstock penstock
