/* An adapter in C for one role of layer L1: the watchtower (spec/machines/watchtower.toml). No library but C's own.
 *
 *     cc -std=c99 -Wall -Wextra -o tower examples/adapters/tower.c
 *     superscalar-ref conform --adapter ./tower
 *
 * It plays the profiles watchtower, restarts (of its own table) and tower-outcomes: the last one on a real chain, which
 * is the kit's. The machine is written by hand from the table; each row is named where it is taken.
 *
 * It answers one JSON object a line. The reader below knows no more JSON than these requests need: a node of your own
 * has a JSON library.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 1 << 20, NAME_BYTES = 128, MOST_ENTRIES = 64, MOST_CASES = 64, NOT_THERE = -1 };

/* ---- the state of one output that is watched -------------------------------------------------------------------- */

struct entry {
    char name[NAME_BYTES];
    char kind[NAME_BYTES];
    int64_t relative_lock;
    int64_t lock_time;
};

struct watch {
    char status[NAME_BYTES];
    char tower[NAME_BYTES];
    char client[NAME_BYTES];
    char outpoint[NAME_BYTES];
    int64_t depth;
    struct entry entries[MOST_ENTRIES];
    int count;
    int64_t confirmed;
    char answer[NAME_BYTES];
};

/* What a process has in memory, and what is on its disk: a crash leaves the second. */
struct node {
    char name[NAME_BYTES];
    struct watch now;
    struct watch stored;
};

static struct node nodes[MOST_CASES];
static int node_count;

/* ---- reading a request ------------------------------------------------------------------------------------------ */

/* The text after "key": or NULL. Keys of these requests are never part of a value. */
static const char *value_of(const char *text, const char *key)
{
    char quoted[64];
    const char *found;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    found = strstr(text, quoted);
    if (found == NULL)
        return NULL;
    found += strlen(quoted);
    return found + strspn(found, " ");
}

static bool number_of(const char *text, const char *key, int64_t *number)
{
    const char *value = value_of(text, key);
    char *end;

    if (value == NULL)
        return false;
    *number = strtoll(value, &end, 10);
    return end != value;
}

/* Copies a text without escapes into NAME_BYTES; false when there is none, or it does not fit. */
static bool text_of(const char *text, const char *key, char name[NAME_BYTES])
{
    const char *value = value_of(text, key);
    size_t length;

    if (value == NULL || *value != '"')
        return false;
    length = strcspn(++value, "\"");
    if (length >= NAME_BYTES)
        return false;
    memcpy(name, value, length);
    name[length] = '\0';
    return true;
}

static bool is_true(const char *text, const char *key)
{
    const char *value = value_of(text, key);

    return value != NULL && strncmp(value, "true", 4) == 0;
}

/* ---- entries, in the order of their text ------------------------------------------------------------------------- */

static int compared(const struct entry *one, const struct entry *other)
{
    int order = strcmp(one->name, other->name);

    if (order == 0)
        order = strcmp(one->kind, other->kind);
    if (order == 0 && one->relative_lock != other->relative_lock)
        order = one->relative_lock < other->relative_lock ? -1 : 1;
    if (order == 0 && one->lock_time != other->lock_time)
        order = one->lock_time < other->lock_time ? -1 : 1;
    return order;
}

/* Registered twice, it is kept once. False when there is no room. */
static bool keep(struct watch *watch, const struct entry *entry)
{
    int place = 0;

    while (place < watch->count && compared(&watch->entries[place], entry) < 0)
        place++;
    if (place < watch->count && compared(&watch->entries[place], entry) == 0)
        return true;
    if (watch->count == MOST_ENTRIES)
        return false;
    memmove(&watch->entries[place + 1], &watch->entries[place], (size_t)(watch->count - place) * sizeof *entry);
    watch->entries[place] = *entry;
    watch->count++;
    return true;
}

static const struct entry *entry_of(const struct watch *watch, const char *name)
{
    int i;

    for (i = 0; i < watch->count; i++)
        if (strcmp(watch->entries[i].name, name) == 0)
            return &watch->entries[i];
    return NULL;
}

static bool read_entry(const char *text, const char *name_key, struct entry *entry)
{
    return text_of(text, name_key, entry->name) && text_of(text, "kind", entry->kind) &&
           number_of(text, "relative_lock", &entry->relative_lock) && number_of(text, "lock_time", &entry->lock_time);
}

/* ---- writing a reply --------------------------------------------------------------------------------------------- */

static void show_state(const struct watch *watch)
{
    int i;

    printf("\"state\": {\"status\": \"%s\", \"confirmed\": %" PRId64 ", \"answer\": \"%s\", \"entries\": [",
           watch->status, watch->confirmed, watch->answer);
    for (i = 0; i < watch->count; i++)
        printf("%s{\"name\": \"%s\", \"kind\": \"%s\", \"relative_lock\": %" PRId64 ", \"lock_time\": %" PRId64 "}",
               i ? ", " : "", watch->entries[i].name, watch->entries[i].kind, watch->entries[i].relative_lock,
               watch->entries[i].lock_time);
    printf("]}");
}

static void taken(int64_t seq, const struct watch *watch, const char *effects)
{
    printf("{\"seq\": %" PRId64 ", \"ok\": {", seq);
    show_state(watch);
    printf(", \"effects\": [%s]}}\n", effects);
}

/* A refusal changes nothing, and shows so. */
static void refused(int64_t seq, const struct watch *watch, const char *code)
{
    printf("{\"seq\": %" PRId64 ", \"reject\": {\"code\": \"%s\"}, ", seq, code);
    show_state(watch);
    printf("}\n");
}

static void fault(int64_t seq, const char *detail)
{
    printf("{\"seq\": %" PRId64 ", \"error\": {\"detail\": \"%s\"}}\n", seq, detail);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static bool in(const struct watch *watch, const char *status)
{
    return strcmp(watch->status, status) == 0;
}

static void become(struct watch *watch, const char *status)
{
    snprintf(watch->status, sizeof watch->status, "%s", status);
}

/* A persist effect: what is in memory when the row is done is on disk before anything leaves. */
static const char *persist_case(struct node *node, char *effect, size_t size)
{
    node->stored = node->now;
    snprintf(effect, size,
             "{\"kind\": \"persist\", \"name\": \"case\", \"to\": \"\", \"fields\": {\"outpoint\": \"%s\"}}",
             node->now.outpoint);
    return effect;
}

static bool may_hold(const char *kind)
{
    static const char *const answers[] = {"state", "sale", "poison", "alternate", "penalty"};
    size_t i;

    for (i = 0; i < sizeof answers / sizeof *answers; i++)
        if (strcmp(kind, answers[i]) == 0)
            return true;
    return false;
}

/* WTW-1, WTW-2 */
static void take_register(int64_t seq, struct node *node, const char *line)
{
    struct watch *watch = &node->now;
    char outpoint[NAME_BYTES], effects[1024];
    struct entry entry;

    if (!read_entry(value_of(line, "fields"), "entry", &entry) ||
        !text_of(value_of(line, "fields"), "outpoint", outpoint)) {
        fault(seq, "a field of the event is missing");
        return;
    }
    if (!is_true(line, "finished")) {
        refused(seq, watch, "FINISHED");
        return;
    }
    if (!may_hold(entry.kind)) {
        refused(seq, watch, "ANSWERS_ONLY");
        return;
    }
    if (strcmp(outpoint, watch->outpoint) != 0) {
        refused(seq, watch, "SPENDS_THIS_OUTPUT");
        return;
    }
    if (!keep(watch, &entry)) {
        fault(seq, "no room for another entry");
        return;
    }
    if (!in(watch, "watching"))
        become(watch, "triggered");
    node->stored = node->now;
    snprintf(effects, sizeof effects,
             "{\"kind\": \"persist\", \"name\": \"entry\", \"to\": \"\", \"fields\": {\"entry\": \"%s\"}}, "
             "{\"kind\": \"send\", \"name\": \"kept\", \"to\": \"%s\", \"fields\": {\"entry\": \"%s\"}}",
             entry.name, watch->client, entry.name);
    taken(seq, watch, effects);
}

/* WTW-4, WTW-5 */
static void take_answer(int64_t seq, struct node *node, const char *line)
{
    struct watch *watch = &node->now;
    char name[NAME_BYTES], effect[512];
    const struct entry *entry;
    int64_t next;
    int i;

    if (!text_of(line, "entry", name) || !number_of(line, "next_height", &next)) {
        fault(seq, "a field of the event is missing");
        return;
    }
    entry = entry_of(watch, name);
    if (entry == NULL || watch->confirmed == NOT_THERE || next < watch->confirmed + entry->relative_lock ||
        next <= entry->lock_time) {
        refused(seq, watch, "LOCK_RUN_OUT");
        return;
    }
    for (i = 0; i < watch->count && strcmp(entry->kind, "state") == 0; i++)
        if (strcmp(watch->entries[i].kind, "state") == 0 && watch->entries[i].relative_lock < entry->relative_lock) {
            refused(seq, watch, "NOTHING_NEWER");
            return;
        }
    snprintf(watch->answer, sizeof watch->answer, "%s", name);
    become(watch, "responded");
    snprintf(effect, sizeof effect, "{\"kind\": \"broadcast\", \"name\": \"%s\", \"to\": \"\", \"fields\": {}}", name);
    taken(seq, watch, effect);
}

/* WTW-3, WTW-6: the output is on chain, or a reorg has taken it back. */
static void take_place(int64_t seq, struct node *node, const char *status, int64_t height)
{
    char effect[512];

    become(&node->now, status);
    node->now.confirmed = height;
    node->now.answer[0] = '\0';
    taken(seq, &node->now, persist_case(node, effect, sizeof effect));
}

/* WTW-7 */
static void take_spent(int64_t seq, struct node *node, int64_t depth)
{
    char effect[512];

    if (depth < node->now.depth) {
        refused(seq, &node->now, "DEEP_ENOUGH");
        return;
    }
    become(&node->now, "settled");
    taken(seq, &node->now, persist_case(node, effect, sizeof effect));
}

/* First whether a row of this state takes the event, then whether its sender may cause it, then its guards. */
static void step(int64_t seq, struct node *node, const char *line)
{
    struct watch *watch = &node->now;
    bool watching = in(watch, "watching"), on_chain = in(watch, "triggered") || in(watch, "responded");
    char name[NAME_BYTES], by[NAME_BYTES];
    const char *event = value_of(line, "event"), *may = "chain";
    int64_t number = 0;
    bool open;

    if (event == NULL || !text_of(event, "name", name) || !text_of(event, "by", by)) {
        fault(seq, "no event");
        return;
    }
    open = watching || on_chain;
    if (strcmp(name, "register") == 0) {
        may = watch->client;
    } else if (strcmp(name, "answer") == 0) {
        may = watch->tower;
        open = on_chain;
    } else if (strcmp(name, "output_confirmed") == 0) {
        open = watching;
    } else if (strcmp(name, "output_gone") == 0) {
        open = on_chain;
    } else if (strcmp(name, "output_spent") != 0) {
        open = false;
    }
    if (!open)
        refused(seq, watch, "OUT_OF_TURN");
    else if (strcmp(by, may) != 0)
        refused(seq, watch, "WRONG_SENDER");
    else if (strcmp(name, "register") == 0)
        take_register(seq, node, event);
    else if (strcmp(name, "answer") == 0)
        take_answer(seq, node, event);
    else if (strcmp(name, "output_gone") == 0)
        take_place(seq, node, "watching", NOT_THERE);
    else if (!number_of(event, strcmp(name, "output_spent") == 0 ? "depth" : "height", &number))
        fault(seq, "a field of the event is missing");
    else if (strcmp(name, "output_confirmed") == 0)
        take_place(seq, node, "triggered", number);
    else
        take_spent(seq, node, number);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static struct node *node_of(const char *line)
{
    char name[NAME_BYTES];
    int i;

    if (!text_of(line, "node", name))
        return NULL;
    for (i = 0; i < node_count; i++)
        if (strcmp(nodes[i].name, name) == 0)
            return &nodes[i];
    return NULL;
}

static void new_node(int64_t seq, const char *line)
{
    static char state[LINE_BYTES], text[LINE_BYTES];
    const char *begin = value_of(line, "state"), *entries, *end, *one, *close;
    struct node made, *node = node_of(line);
    struct entry entry;

    memset(&made, 0, sizeof made);
    entries = begin == NULL ? NULL : value_of(begin, "entries");
    end = entries == NULL ? NULL : strchr(entries, ']');
    if (end == NULL || !text_of(line, "node", made.name)) {
        fault(seq, "no state with entries");
        return;
    }
    for (one = strchr(entries, '{'); one != NULL && one < end; one = strchr(close, '{')) {
        close = strchr(one, '}');
        if (close == NULL || close > end)
            break;
        snprintf(text, sizeof text, "%.*s", (int)(close - one), one);
        if (!read_entry(text, "name", &entry) || !keep(&made.now, &entry)) {
            fault(seq, "an entry cannot be read, or there are too many");
            return;
        }
    }
    /* The rest of the state: its entries have keys of the same names. */
    snprintf(state, sizeof state, "%.*s%s", (int)(entries - begin), begin, end);
    if (!text_of(state, "status", made.now.status) || !text_of(state, "tower", made.now.tower) ||
        !text_of(state, "client", made.now.client) || !text_of(state, "outpoint", made.now.outpoint) ||
        !text_of(state, "answer", made.now.answer) || !number_of(state, "depth", &made.now.depth) ||
        !number_of(state, "confirmed", &made.now.confirmed)) {
        fault(seq, "a field of the state is missing");
        return;
    }
    made.stored = made.now;
    /* The kit uses a name again for its next test; of old ones the table is cleared when it is full. */
    if (node == NULL) {
        if (node_count == MOST_CASES)
            node_count = 0;
        node = &nodes[node_count++];
    }
    *node = made;
    printf("{\"seq\": %" PRId64 ", \"ok\": {", seq);
    show_state(&node->now);
    printf("}}\n");
}

static void restart(int64_t seq, struct node *node)
{
    node->now = node->stored;
    printf("{\"seq\": %" PRId64 ", \"ok\": {", seq);
    show_state(&node->now);
    printf("}}\n");
}

/* ---- one line in, one line out ----------------------------------------------------------------------------------- */

int main(void)
{
    static char line[LINE_BYTES];
    char command[NAME_BYTES], machine[NAME_BYTES];
    struct node *node;
    int64_t seq;

    while (fgets(line, sizeof line, stdin) != NULL) {
        if (!number_of(line, "seq", &seq) || !text_of(line, "cmd", command)) {
            fputs("tower: a line without seq and cmd\n", stderr);
            return 1;
        }
        node = node_of(line);
        if (strcmp(command, "hello") == 0)
            printf("{\"seq\": %" PRId64 ", \"ok\": {\"name\": \"tower in C\", \"version\": \"1\", \"protocol\": 1, "
                   "\"profiles\": [\"watchtower\", \"restarts\", \"tower-outcomes\"], \"functions\": [], "
                   "\"capabilities\": [\"restart\"]}}\n",
                   seq);
        else if (strcmp(command, "bye") == 0)
            printf("{\"seq\": %" PRId64 ", \"ok\": {}}\n", seq);
        else if (strcmp(command, "new") == 0 && text_of(line, "machine", machine) && strcmp(machine, "watchtower") == 0)
            new_node(seq, line);
        else if (strcmp(command, "step") == 0 && node != NULL)
            step(seq, node, line);
        else if (strcmp(command, "restart") == 0 && node != NULL)
            restart(seq, node);
        else
            printf("{\"seq\": %" PRId64 ", \"unsupported\": {}}\n", seq);
        /* Lock step: the other side waits for this line. */
        fflush(stdout);
        if (strcmp(command, "bye") == 0)
            return 0;
    }
    return 0;
}
