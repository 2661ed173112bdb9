/* A device in C for a small board: a valve that is opened by so many percent, and closes whenever nobody can be sure
 * that somebody watches it.
 *
 *     cc -std=c99 -O2 -o device device.c
 *     ./device 192.168.1.10 7070 valve-1 [TOKEN]
 *
 * Written as one writes it for a microcontroller: no threads, no malloc, fixed buffers, one state machine that is driven
 * by five things, as in lwIP's raw API: connected (tcp_connect's callback), data (tcp_recv), closed (tcp_err), a timer
 * tick (tcp_poll), and that all data that had come has been given in (the main loop finds no packet any more). The lower
 * half of this file does the same with POSIX sockets; only that half is to be replaced.
 *
 * What makes it safe, and is worth copying (docs/link.md says why):
 *   1. whatever ends the link closes the valve: `safe`, `bye`, FIN, RST, 3 s of silence;
 *   2. it tries again every second for ever, and says hello each time;
 *   3. after a gap in the link it takes no command until the server has answered a ping: what arrives then may be old;
 *   4. it does what a command says only when it has read all that has come: what is behind it may take it back.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    RX_MAX = 512,        /* longest line that is understood; longer ones are skipped */
    TX_MAX = 2048,       /* what may wait to be sent */
    KEPT_MAX = 16,       /* commands that wait until all is read; the server leaves no more unanswered */
    ID_MAX = 64,
    RETRY_MS = 1000,     /* between two attempts, and for each of them */
    GREET_MS = 10000,    /* for the welcome: a slow server checks many tokens */
    SILENT_MS = 3000,    /* no line for so long: the server has vanished */
    DOUBT_MS = 1200,     /* no line for so long: what comes next may be old */
    TELEMETRY_MS = 500
};

/* ------------------------------------------------------------------------------------------------- the device */

static const char *name, *token;

static enum { WAITING, CONNECTING, GREETING, UP } state = WAITING;
static uint32_t since;           /* when the state began, or in UP: when the last line came */
static uint32_t told;            /* when telemetry was last sent */
static uint32_t pings;           /* number of our last ping */
static int doubt;                /* commands may be old until the pong to it */
static int percent;              /* how far the valve is open */

static char rx[RX_MAX], tx[TX_MAX];
static size_t rx_len, tx_len;
static int skipping;             /* the rest of a line that is too long */

static struct { char id[ID_MAX]; int percent; } kept[KEPT_MAX];
static int kept_n;

/* From the lower half. */
static uint32_t now_ms(void);
static void net_connect(void);
static void net_close(void);
static void net_send(void);      /* as much of tx as is taken now */

/* The only thing that moves. A real one would set a pin or a PWM here. */
static void valve(int to, const char *why)
{
    if (to != percent)
        printf("valve %d %s\n", to, why);
    percent = to;
    fflush(stdout);
}

static void safe(const char *why)
{
    valve(0, why);
    printf("safe %s\n", why);
    fflush(stdout);
}

static void enter(int next)
{
    state = next;
    since = now_ms();
}

static void give_up(const char *why)
{
    int was_up = state == UP;
    net_close();
    rx_len = tx_len = 0;
    skipping = doubt = kept_n = 0;
    enter(WAITING);
    if (was_up)
        safe(why);
}

/* A line to the server. One that does not fit means that the server reads nothing: that link is of no use. */
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(tx + tx_len, TX_MAX - tx_len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= TX_MAX - tx_len) {
        give_up("stuck");
        return;
    }
    tx_len += (size_t)n;
    net_send();
}

static void refuse(const char *id, const char *why)
{
    say("{\"answer\":\"%s\",\"ok\":false,\"result\":\"not executed: %s\"}\n", id, why);
}

/* What came before `safe` or an emergency stop and is not done yet is not to be done after it. */
static void take_back(void)
{
    for (int n = kept_n, i = 0; i < n && state == UP; i++)
        refuse(kept[i].id, "it was taken back at once");
    kept_n = 0;
}

static void ping(void)
{
    doubt = 1;
    say("{\"ping\":%lu}\n", (unsigned long)++pings);
}

/* The value of a member of the object that `json` begins with, or NULL. Looks at the outermost level only, so that
 * nothing that somebody typed can pass for a member. */
static const char *member(const char *json, const char *key)
{
    int depth = 0;
    size_t length = strlen(key);
    for (const char *p = json; *p; p++) {
        if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            depth--;
        } else if (*p == '"') {
            const char *start = p + 1;
            for (p++; *p && *p != '"'; p++)
                if (*p == '\\' && p[1])
                    p++;
            if (!*p)
                return NULL;
            if (depth == 1 && (size_t)(p - start) == length && memcmp(start, key, length) == 0 && p[1] == ':')
                return p + 2;
        }
        if (depth <= 0)
            return NULL;
    }
    return NULL;
}

/* Copies a JSON string without escapes; ids and our names of commands have none. */
static int text(const char *value, char *to, size_t size)
{
    size_t n = 0;
    if (!value || *value++ != '"')
        return 0;
    for (; *value && *value != '"' && *value != '\\' && n + 1 < size; value++)
        to[n++] = *value;
    to[n] = 0;
    return *value == '"';
}

static void command(const char *line)
{
    char id[ID_MAX], what[32];
    if (!text(member(line, "id"), id, sizeof id) || !text(member(line, "command"), what, sizeof what))
        return;
    if (strcmp(what, "close") == 0) {            /* the emergency stop: late is better than never */
        valve(0, "command");
        say("{\"answer\":\"%s\",\"ok\":true}\n", id);
        take_back();
    } else if (doubt || kept_n == KEPT_MAX) {
        refuse(id, doubt ? "it came late" : "too many at once");
    } else if (strcmp(what, "open") == 0) {
        const char *args = member(line, "args");
        const char *value = args ? member(args, "percent") : NULL;
        double wanted = value ? strtod(value, NULL) : -1;
        if (!(wanted >= 0 && wanted <= 100)) {   /* the server has checked it, but this is the last place to */
            refuse(id, "percent is to be from 0 to 100");
            return;
        }
        memcpy(kept[kept_n].id, id, sizeof id);
        kept[kept_n++].percent = (int)(wanted + 0.5);
    } else {
        refuse(id, "there is no such command");
    }
}

static void line_came(const char *line)
{
    const char *value;
    if (state == GREETING) {
        if (member(line, "welcome")) {
            uint32_t waited = now_ms() - since;
            enter(UP);
            if (waited > DOUBT_MS)               /* what follows it may be as old */
                ping();
            if (state != UP)
                return;
            told = since - TELEMETRY_MS;
            printf("up\n");
            fflush(stdout);
        } else if (member(line, "error")) {
            fprintf(stderr, "refused: %s\n", line);
            give_up("refused");
        }
        return;
    }
    if (state != UP)
        return;
    uint32_t gap = now_ms() - since;
    since = now_ms();
    if (gap > DOUBT_MS)
        ping();
    if (state != UP)
        return;
    if (member(line, "safe")) {
        safe("told");
        take_back();
    } else if (member(line, "command")) {
        command(line);
    } else if ((value = member(line, "ping"))) {
        say("{\"pong\":%lu}\n", strtoul(value, NULL, 10));
    } else if ((value = member(line, "pong"))) {
        if (strtoul(value, NULL, 10) == pings)
            doubt = 0;
    } else if (member(line, "bye")) {
        give_up("bye");
    }
}

/* The five things that happen. */

static void on_connected(void)
{
    enter(GREETING);
    say("{\"hello\":\"%s\",%s%s%s\"proto\":1,\"describe\":{\"commands\":{"
        "\"open\":{\"args\":{\"percent\":{\"type\":\"number\",\"min\":0,\"max\":100}}},"
        "\"close\":{\"anyone\":true}},\"telemetry\":{\"percent\":\"%%\"}}}\n",
        name, token ? "\"token\":\"" : "", token ? token : "", token ? "\"," : "");
}

static void on_data(const char *bytes, size_t n)
{
    for (; n > 0 && state >= GREETING; bytes++, n--) {
        if (*bytes != '\n') {
            if (rx_len < RX_MAX - 1)
                rx[rx_len++] = *bytes;
            else
                skipping = 1;
            continue;
        }
        rx[rx_len] = 0;
        rx_len = 0;
        if (!skipping)
            line_came(rx);
        skipping = 0;
    }
}

static void on_all_read(void)
{
    for (int n = kept_n, i = 0; i < n && state == UP; i++) {
        valve(kept[i].percent, "command");
        say("{\"answer\":\"%s\",\"ok\":true,\"result\":{\"percent\":%d}}\n", kept[i].id, percent);
    }
    kept_n = 0;
}

static void on_closed(const char *why)
{
    give_up(why);
}

static void on_tick(void)
{
    uint32_t in_state = now_ms() - since;
    if (state == WAITING && in_state >= RETRY_MS) {
        enter(CONNECTING);
        net_connect();
    } else if (state == CONNECTING && in_state >= RETRY_MS) {
        give_up("no connection");
        since -= RETRY_MS;                       /* the next attempt follows at once */
    } else if (state == GREETING && in_state >= GREET_MS) {
        give_up("no welcome");
    } else if (state == UP && in_state >= SILENT_MS) {
        give_up("silent");
        since -= RETRY_MS;
    } else if (state == UP && now_ms() - told >= TELEMETRY_MS && tx_len == 0) {
        told = now_ms();
        say("{\"telemetry\":{\"percent\":%d}}\n", percent);
    }
}

/* ------------------------------------------------------------------------------ the network, here with POSIX sockets */

static struct sockaddr_in server;
static int fd = -1;

static uint32_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint32_t)t.tv_sec * 1000u + (uint32_t)(t.tv_nsec / 1000000);
}

static void net_close(void)
{
    if (fd < 0)
        return;
    /* What was not sent must not arrive after a cut, when it is not true any more. */
    struct linger now = { 1, 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    fd = -1;
}

static void net_connect(void)
{
    int one = 1;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        on_closed("no socket");
        return;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        on_closed("no connection");
}

static void net_send(void)
{
    ssize_t n = send(fd, tx, tx_len, MSG_NOSIGNAL);
    if (n > 0) {
        memmove(tx, tx + n, tx_len - (size_t)n);
        tx_len -= (size_t)n;
    }
    /* An error shows as the end of the stream as well, on the next turn. */
}

static void net_receive(void)
{
    char bytes[256];
    /* Bounded, so that a flood does not stop the timer; the rest is read in the next turn. */
    for (int i = 0; i < 64 && fd >= 0; i++) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n > 0) {
            on_data(bytes, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            on_all_read();
            return;
        } else if (n == 0 || errno != EINTR) {
            on_closed(n == 0 ? "closed" : "reset");
        }
    }
}

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

int main(int argc, char **argv)
{
    server.sin_family = AF_INET;
    if (argc < 4 || argc > 5 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 || atoi(argv[2]) <= 0) {
        fprintf(stderr, "usage: %s SERVER_IPV4 PORT NAME [TOKEN]\n", argv[0]);
        return 2;
    }
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    name = argv[3];
    token = argv[4];
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGHUP, stop);
    since = now_ms() - RETRY_MS;                 /* the first attempt is due now */
    while (!stopped) {
        struct pollfd p = { fd, POLLIN, 0 };
        if (state == CONNECTING || tx_len > 0)
            p.events |= POLLOUT;
        /* A microcontroller has its timer interrupt; 50 ms are fine enough for everything above. */
        if (poll(&p, fd >= 0, 50) > 0 && fd >= 0) {
            if (state == CONNECTING && p.revents) {
                int error = 0;
                socklen_t size = sizeof error;
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (error)
                    on_closed("no connection");
                else
                    on_connected();
            } else if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
                net_receive();
            }
            if (fd >= 0 && state >= GREETING && tx_len > 0)
                net_send();
        }
        on_tick();
    }
    if (state == UP) {
        say("{\"bye\":\"shutdown\"}\n");
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    safe("shutdown");
    return 0;
}
