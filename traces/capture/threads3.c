/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The recorder's test program: three threads whose accesses can be counted by hand.
 * main initialises an array (first touch); two workers sweep their halves, reading
 * and writing one word per 64-byte line, SWEEPS times. Compile with -O1.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 32768, WORDS_PER_LINE = 8, SWEEPS = 8 };

static volatile uint64_t *array;

static void *sweep(void *arg)
{
    size_t first = (size_t)arg * (LINES / 2);
    for (int s = 0; s < SWEEPS; s++)
        for (size_t i = first; i < first + LINES / 2; i++)
            array[i * WORDS_PER_LINE] += 1;
    return NULL;
}

int main(void)
{
    pthread_t workers[2];
    array = aligned_alloc(4096, LINES * WORDS_PER_LINE * sizeof *array);
    if (!array)
        return 1;
    for (size_t i = 0; i < LINES * WORDS_PER_LINE; i++)
        array[i] = i;
    for (size_t w = 0; w < 2; w++)
        if (pthread_create(&workers[w], NULL, sweep, (void *)w))
            return 1;
    for (size_t w = 0; w < 2; w++)
        pthread_join(workers[w], NULL);
    printf("%llu\n", (unsigned long long)array[0]);
    return 0;
}
