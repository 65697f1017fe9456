/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order gate, rules, route, sessions: in every reachable state, with messages read as late as can be, a kernel that
 * refuses rules now and then, and a death of the gate, a relay or the prober between any two steps,
 *   - no packet of a client leaves unproxied, but under rules of a direct verdict;
 *   - a redirected connection reaches a relay's socket, or nobody's;
 *   - a relay begins no session on a route that is older than the rules that sent it the connection;
 *   - when the gate is at rest, what it says is in force is in force;
 *   - when a relay has read its messages then, it has sessions only if the rules redirect.
 *
 * What it leaves out:
 *   - what a verdict follows from (tests/unit/test_verdict_table.c). The prober is a report, of any verdict, that comes at any
 *     time or never: a dead one, and a message that is lost with it, is one that never comes;
 *   - what the rules are made of (tests/system): a table redirects, refuses or lets pass, and one transaction changes it;
 *   - changes of the table by others, and OnStop=open: somebody wished that;
 *   - the boot: it begins with the lockdown's table, and a gate that dies leaves its own;
 *   - a socket between gate and relay that is full, with more than 64 messages unread: here the latest route has room. What is
 *     unread dies with its reader;
 *   - sessions that may drain for a minute after a change from the plain port to the channel;
 *   - TCP: a connection is one packet, which goes out, is refused, or waits in the listener's queue;
 *   - time: everything may take any time, nothing waits for a limit.
 *
 * The macros are mistakes that must be found, see run. */

#ifndef REPORTS
#define REPORTS 2 /* of the prober, and other tries after a refusal of the kernel */
#endif
#ifndef DEATHS
#define DEATHS 1 /* of all processes together */
#endif
#ifndef CONNECTIONS
#define CONNECTIONS 1
#endif

mtype = {BLOCKED, PLAIN, SECURE, DIRECT, NOT_ENFORCED};
#define REDIRECTS(mode) ((mode) == PLAIN || (mode) == SECURE)

/* ---- the kernel ---- */
mtype rules = BLOCKED;
byte rules_route;                       /* the route that goes with them, or with a refusal the latest before */
bool gate_listens;                      /* the gate holds the listening sockets */
bool alive[2];                          /* a relay, and it holds those of its gate */
chan waiting = [CONNECTIONS] of {byte}; /* redirected connections, each with the rules_route of then */

/* The last holder of a socket takes the connections in its queue along. */
#define HELD (gate_listens || alive[0] || alive[1])
inline drop_unheld()
{
    do
    :: nempty(waiting) && !HELD -> waiting ? _
    :: empty(waiting) || HELD -> break
    od
}

/* ---- what gate and relays know of each other ---- */
bool orphan[2];               /* the gate that started it is gone */
bool came_up[2], came_down[2]; /* not noticed by the gate yet */
mtype sent[2] = BLOCKED;      /* the latest route, */
byte sent_number[2];
bool unread[2]; /* if the relay has not read it yet */
bool killed[2];

/* ---- the gate ---- */
bool gate_alive, at_rest;
byte reports = REPORTS, deaths = DEATHS;
mtype wanted = BLOCKED, in_force = BLOCKED;
mtype stands = BLOCKED; /* what the kernel has, as far as the gate knows */
mtype route_now = BLOCKED;
byte number; /* of the latest route: a new gate counts on, only here, to compare */
bool ready[2];
bool refused;

/* One transaction. The kernel may refuse it, then there is the table of last resort; it may refuse that, too. */
inline set_rules(mode, its_route)
{
    if
    :: atomic { rules = mode; rules_route = its_route; stands = mode }
    :: atomic { rules = BLOCKED; rules_route = its_route; stands = BLOCKED; refused = true }
    :: atomic { stands = NOT_ENFORCED; refused = true }
    fi
}

inline give_route(i)
{
    sent[i] = route_now;
    sent_number[i] = number;
    unread[i] = true
}

/* A death may come between the one relay and the other. */
inline send_route(mode)
{
    atomic {
        number++;
        route_now = mode;
        if
        :: ready[0] -> give_route(0)
        :: else
        fi
    };
    atomic {
        if
        :: ready[1] -> give_route(1)
        :: else
        fi
    }
}

inline pursue()
{
    if
    :: atomic { REDIRECTS(wanted) && (ready[0] || ready[1]) -> refused = false };
#ifdef REVERSED
        set_rules(wanted, number + 1);
        send_route(wanted);
#else
        send_route(wanted);
        set_rules(wanted, number);
#endif
        if
        :: refused -> send_route(BLOCKED)
        :: else
        fi
    :: atomic { REDIRECTS(wanted) && !ready[0] && !ready[1] -> refused = false };
        set_rules(BLOCKED, number);
        send_route(BLOCKED)
    :: atomic { !REDIRECTS(wanted) -> refused = false };
        set_rules(wanted, number);
        send_route(BLOCKED)
    fi;
    in_force = stands
}

active proctype gate()
{
    byte i;
    do
    :: atomic { gate_alive = true; wanted = BLOCKED };
        {
            pursue(); /* the rules before anything else */
            atomic { !alive[0] && !alive[1] -> gate_listens = true; at_rest = true }; /* their port is free then */
            do
            :: atomic { reports > 0 ->
                    reports--;
                    at_rest = false;
                    if
                    :: wanted = BLOCKED
                    :: wanted = PLAIN
                    :: wanted = SECURE
                    :: wanted = DIRECT
                    :: refused /* the same once more */
                    fi };
                pursue();
                at_rest = true
            :: atomic { came_up[0] || came_up[1] ->
                    at_rest = false;
                    i = (came_up[0] -> 0 : 1);
                    came_up[i] = false;
                    ready[i] = true;
                    give_route(i) };
                if
                :: in_force != wanted -> pursue()
                :: else
                fi;
                atomic { i = 0; at_rest = true }
            :: atomic { came_down[0] || came_down[1] ->
                    at_rest = false;
                    i = (came_down[0] -> 0 : 1);
                    came_down[i] = false;
                    ready[i] = false };
                if
                :: REDIRECTS(in_force) && !ready[0] && !ready[1] -> pursue()
                :: else
                fi;
                atomic { i = 0; at_rest = true }
            od
        } unless { !gate_alive }
    od
}

/* ---- the relays ---- */

#define BEGIN_SESSION(from)                                                                                            \
    if                                                                                                                 \
    :: REDIRECTS(route) -> assert(route_number >= from); session = true                                                \
    :: else /* it is refused */                                                                                        \
    fi

inline take_route()
{
    unread[me] = false;
    route = sent[me];
    route_number = sent_number[me];
    routed = true;
#ifndef SESSIONS_STAY
    session = session && REDIRECTS(route)
#endif
}

proctype relay(byte me)
{
    mtype route = BLOCKED;
    byte route_number, from;
    bool routed, session; /* until a first route comes connections wait */
    do
    :: atomic { gate_listens && !came_down[me] && !ready[me] ->
            alive[me] = true;
            unread[me] = false; /* what was sent to the one before */
            came_up[me] = true };
        {
            do
            :: atomic { unread[me] -> take_route() }
            /* The gate's messages come first. Woken for a connection, it takes as many as there are, or finds none. */
            :: atomic { routed && !unread[me] && nempty(waiting) -> skip };
                do
                :: atomic { nempty(waiting) -> waiting ? from };
                    atomic {
#ifndef NO_SECOND_LOOK
                        if
                        :: unread[me] -> take_route()
                        :: else
                        fi;
#endif
                        BEGIN_SESSION(from);
                        from = 0
                    }
                :: break
                od
            :: atomic { session -> session = false }
            :: atomic { orphan[me] -> killed[me] = true }
            /* No step of the relay, but what must be true. */
            :: atomic { at_rest && !unread[me] && !orphan[me] && session && !REDIRECTS(rules) && in_force != NOT_ENFORCED ->
                    assert(false) }
            od
        } unless { killed[me] };
        atomic {
            alive[me] = false;
            killed[me] = false;
            unread[me] = false;
            came_up[me] = false;
            came_down[me] = !orphan[me];
            orphan[me] = false;
            route = BLOCKED;
            route_number = 0;
            from = 0;
            routed = false;
            session = false;
            drop_unheld()
        }
    od
}

/* ---- death ---- */

active proctype death()
{
    do
    :: atomic { deaths > 0 && gate_alive ->
            deaths--;
            gate_alive = false;
            gate_listens = false;
            at_rest = false;
            orphan[0] = alive[0];
            orphan[1] = alive[1];
            came_up[0] = false;
            came_up[1] = false;
            came_down[0] = false;
            came_down[1] = false;
            ready[0] = false;
            ready[1] = false;
#ifdef RULES_END_WITH_GATE
            rules = DIRECT;
#endif
            drop_unheld() }
    :: atomic { deaths > 0 && alive[0] && !killed[0] -> deaths--; killed[0] = true }
    :: atomic { deaths > 0 && alive[1] && !killed[1] -> deaths--; killed[1] = true }
    od
}

/* ---- clients ---- */

/* Only a direct verdict lets a packet out, until its rules have been replaced. What the kernel refuses altogether is not
 * replaced; then the gate says "Not enforced", and tries again. */
#define MAY_LEAVE (stands == NOT_ENFORCED || (stands == DIRECT && (wanted == DIRECT || !at_rest)))

active proctype client()
{
    byte n;
    for (n : 1 .. CONNECTIONS) {
        if
        :: atomic { rules == DIRECT -> assert(MAY_LEAVE) }
        :: rules == BLOCKED
        :: atomic { REDIRECTS(rules) && HELD -> waiting ! rules_route }
        :: atomic { REDIRECTS(rules) && !HELD ->
#ifdef ANY_LISTENER
            assert(false) /* it reaches whoever else listens there */
#else
            skip
#endif
            }
        fi
    }
}

/* ---- at rest ---- */

active proctype watcher()
{
    do
    :: atomic { at_rest && in_force != NOT_ENFORCED && rules != in_force -> assert(false) }
    od
}

init { atomic { run relay(0); run relay(1) } }
