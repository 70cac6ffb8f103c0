/* An adapter in C for some functions of layer L0: relative locks, tagged hashes, expiries. No library but C's own.
 *
 *     cc -std=c99 -Wall -Wextra -o functions examples/adapters/functions.c
 *     superscalar-ref conform --adapter ./functions
 *
 * It answers one JSON object a line. The reader below knows no more JSON than these requests need: a node of your own
 * has a JSON library. What it does not know it calls unsupported; what it declares in 'hello' it must answer.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 1 << 20, HASH_BYTES = 32, MOST_LOCK = 65535 };

/* ---- reading a request ------------------------------------------------------------------------------------------ */

/* The text after "key": or NULL. Keys of these requests are never part of a value. */
static const char *value_of(const char *line, const char *key)
{
    char quoted[64];
    const char *found;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    found = strstr(line, quoted);
    if (found == NULL)
        return NULL;
    found += strlen(quoted);
    while (*found == ' ')
        found++;
    return found;
}

static bool number_of(const char *line, const char *key, int64_t *number)
{
    const char *value = value_of(line, key);
    char *end;

    if (value == NULL)
        return false;
    *number = strtoll(value, &end, 10);
    return end != value;
}

/* Copies a text without escapes; false when there is none, or it does not fit. */
static bool text_of(const char *line, const char *key, char *text, size_t size)
{
    const char *value = value_of(line, key);
    size_t length;

    if (value == NULL || *value != '"')
        return false;
    length = strcspn(++value, "\"");
    if (length >= size)
        return false;
    memcpy(text, value, length);
    text[length] = '\0';
    return true;
}

static void reject(int64_t seq, const char *code)
{
    printf("{\"seq\": %" PRId64 ", \"reject\": {\"code\": \"%s\"}}\n", seq, code);
}

static void fault(int64_t seq, const char *detail)
{
    printf("{\"seq\": %" PRId64 ", \"error\": {\"detail\": \"%s\"}}\n", seq, detail);
}

/* ---- dw.nsequence: the relative lock of a state ----------------------------------------------------------------- */

static void nsequence(int64_t seq, const char *line)
{
    int64_t step, states, index, lock;

    if (!number_of(line, "step_blocks", &step) || !number_of(line, "states", &states) ||
        !number_of(line, "index", &index)) {
        fault(seq, "an argument is missing");
        return;
    }
    if (step < 1) {
        reject(seq, "BAD_STEP");
        return;
    }
    if (index < 0 || index >= states) {
        reject(seq, "BAD_INDEX");
        return;
    }
    /* Divided, since a product could overflow. */
    if (states - 1 - index > MOST_LOCK / step) {
        reject(seq, "LOCK_TOO_LONG");
        return;
    }
    lock = step * (states - 1 - index);
    printf("{\"seq\": %" PRId64 ", \"ok\": {\"blocks\": %" PRId64 ", \"nsequence\": %" PRId64 "}}\n", seq, lock, lock);
}

/* ---- htlc.expiry: which expiry both sides can enforce ----------------------------------------------------------- */

static void expiry(int64_t seq, const char *line)
{
    int64_t tip, at, end, leave, margin, cutoff, incoming, forward, earliest, latest;

    if (!number_of(line, "tip", &tip) || !number_of(line, "expiry", &at) || !number_of(line, "end", &end) ||
        !number_of(line, "exit_blocks", &leave) || !number_of(line, "margin_blocks", &margin) ||
        !number_of(line, "cutoff_blocks", &cutoff)) {
        fault(seq, "an argument is missing");
        return;
    }
    if (!number_of(line, "forward_margin_blocks", &forward))
        forward = margin;
    earliest = tip + leave + margin;
    latest = end - cutoff;
    if (earliest > latest)
        reject(seq, "FACTORY_TOO_OLD");
    else if (at < earliest)
        reject(seq, "EXPIRY_TOO_SOON");
    else if (at > latest)
        reject(seq, "EXPIRY_TOO_LATE");
    else if (number_of(line, "incoming", &incoming) && incoming < at + leave + forward)
        reject(seq, "DELTA_TOO_SMALL");
    else
        printf("{\"seq\": %" PRId64 ", \"ok\": {\"earliest\": %" PRId64 ", \"latest\": %" PRId64 "}}\n", seq, earliest,
               latest);
}

/* ---- hash.tagged: SHA-256 (FIPS 180-4) under a tag (BIP-340) ---------------------------------------------------- */

struct sha256 {
    uint32_t state[8];
    uint64_t length;
    unsigned char block[64];
};

static uint32_t rotated(uint32_t word, int bits)
{
    return word >> bits | word << (32 - bits);
}

static void sha256_block(struct sha256 *sha)
{
    static const uint32_t constants[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t words[64], now[8];
    int i;

    for (i = 0; i < 16; i++)
        words[i] = (uint32_t)sha->block[4 * i] << 24 | (uint32_t)sha->block[4 * i + 1] << 16 |
                   (uint32_t)sha->block[4 * i + 2] << 8 | sha->block[4 * i + 3];
    for (; i < 64; i++) {
        uint32_t early = words[i - 15], late = words[i - 2];
        words[i] = words[i - 16] + words[i - 7] + (rotated(early, 7) ^ rotated(early, 18) ^ early >> 3) +
                   (rotated(late, 17) ^ rotated(late, 19) ^ late >> 10);
    }
    memcpy(now, sha->state, sizeof now);
    for (i = 0; i < 64; i++) {
        uint32_t a = now[0], e = now[4];
        uint32_t first = now[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & now[5]) ^ (~e & now[6])) +
                         constants[i] + words[i];
        uint32_t second =
            (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & now[1]) ^ (a & now[2]) ^ (now[1] & now[2]));
        memmove(now + 1, now, 7 * sizeof now[0]);
        now[4] += first;
        now[0] = first + second;
    }
    for (i = 0; i < 8; i++)
        sha->state[i] += now[i];
}

static void sha256_begin(struct sha256 *sha)
{
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memcpy(sha->state, initial, sizeof initial);
    sha->length = 0;
}

static void sha256_add(struct sha256 *sha, const unsigned char *data, size_t size)
{
    while (size-- > 0) {
        sha->block[sha->length++ % 64] = *data++;
        if (sha->length % 64 == 0)
            sha256_block(sha);
    }
}

static void sha256_end(struct sha256 *sha, unsigned char hash[HASH_BYTES])
{
    static const unsigned char one = 0x80, zero = 0;
    uint64_t bits = 8 * sha->length;
    unsigned char size[8];
    int i;

    sha256_add(sha, &one, 1);
    while (sha->length % 64 != 56)
        sha256_add(sha, &zero, 1);
    for (i = 0; i < 8; i++)
        size[i] = (unsigned char)(bits >> (56 - 8 * i));
    sha256_add(sha, size, sizeof size);
    for (i = 0; i < HASH_BYTES; i++)
        hash[i] = (unsigned char)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
}

static void tagged(int64_t seq, const char *line)
{
    static char data[LINE_BYTES];
    struct sha256 sha;
    unsigned char hash[HASH_BYTES], byte;
    char tag[256];
    unsigned value;
    size_t i;

    if (!text_of(line, "tag", tag, sizeof tag) || !text_of(line, "data", data, sizeof data)) {
        fault(seq, "an argument is missing");
        return;
    }
    sha256_begin(&sha);
    sha256_add(&sha, (const unsigned char *)tag, strlen(tag));
    sha256_end(&sha, hash);
    sha256_begin(&sha);
    sha256_add(&sha, hash, sizeof hash);
    sha256_add(&sha, hash, sizeof hash);
    for (i = 0; data[i] != '\0'; i += 2) {
        if (sscanf(data + i, "%2x", &value) != 1) {
            fault(seq, "data is not hex");
            return;
        }
        byte = (unsigned char)value;
        sha256_add(&sha, &byte, 1);
    }
    sha256_end(&sha, hash);
    printf("{\"seq\": %" PRId64 ", \"ok\": {\"hash\": \"", seq);
    for (i = 0; i < HASH_BYTES; i++)
        printf("%02x", hash[i]);
    printf("\"}}\n");
}

/* ---- one line in, one line out ---------------------------------------------------------------------------------- */

int main(void)
{
    static char line[LINE_BYTES];
    char command[32], function[64];
    int64_t seq;

    while (fgets(line, sizeof line, stdin) != NULL) {
        if (!number_of(line, "seq", &seq) || !text_of(line, "cmd", command, sizeof command)) {
            fputs("functions: a line without seq and cmd\n", stderr);
            return 1;
        }
        if (strcmp(command, "hello") == 0)
            printf("{\"seq\": %" PRId64 ", \"ok\": {\"name\": \"example in C\", \"version\": \"1\", \"protocol\": 1, "
                   "\"profiles\": [\"odometers\", \"expiries\", \"keys-and-scripts\"], "
                   "\"functions\": [\"dw.nsequence\", \"htlc.expiry\", \"hash.tagged\"], \"capabilities\": []}}\n",
                   seq);
        else if (strcmp(command, "bye") == 0)
            printf("{\"seq\": %" PRId64 ", \"ok\": {}}\n", seq);
        else if (strcmp(command, "eval") != 0 || !text_of(line, "fn", function, sizeof function))
            printf("{\"seq\": %" PRId64 ", \"unsupported\": {}}\n", seq);
        else if (strcmp(function, "dw.nsequence") == 0)
            nsequence(seq, line);
        else if (strcmp(function, "htlc.expiry") == 0)
            expiry(seq, line);
        else if (strcmp(function, "hash.tagged") == 0)
            tagged(seq, line);
        else
            printf("{\"seq\": %" PRId64 ", \"unsupported\": {}}\n", seq);
        /* Lock step: the other side waits for this line. */
        fflush(stdout);
        if (strcmp(command, "bye") == 0)
            return 0;
    }
    return 0;
}
