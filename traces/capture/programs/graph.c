/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Our own demonstration of first-touch trouble, not a program of the world: feature
 * propagation over a random graph in compressed-row form, as graph neural networks do
 * it. The main thread builds the graph and fills the features, so first touch puts
 * every page on its node; then the workers share the vertices in equal parts, read
 * their own part of the edges in sequence and everybody's features at random, and
 * write their own part of the result.
 *
 *   graph VERTICES_LOG2 EDGES_PER_VERTEX ROUNDS THREADS
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { FEATURES = 128 }; /* 512 bytes a vertex */

struct vertex {
    float feature[FEATURES];
};

static uint32_t nr_vertices, per_vertex, rounds, nr_threads;
static uint32_t *source;
static struct vertex *vertices[2];
static pthread_barrier_t barrier;

static uint64_t state = 88172645463325252u;

/* xorshift64, Marsaglia 2003 */
static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Skewed towards low numbers: the smaller of two uniform draws. */
static uint32_t random_vertex(void)
{
    uint64_t r = next_random();
    uint32_t a = (uint32_t)r & (nr_vertices - 1), b = (uint32_t)(r >> 32) & (nr_vertices - 1);
    return a < b ? a : b;
}

static void *allocate(size_t count, size_t size)
{
    void *p = aligned_alloc(4096, (count * size + 4095) / 4096 * 4096);
    if (!p) {
        perror("graph");
        exit(1);
    }
    return p;
}

static void build(void)
{
    size_t nr_edges = (size_t)nr_vertices * per_vertex;
    source = allocate(nr_edges, sizeof *source);
    vertices[0] = allocate(nr_vertices, sizeof *vertices[0]);
    vertices[1] = allocate(nr_vertices, sizeof *vertices[1]);
    for (size_t e = 0; e < nr_edges; e++)
        source[e] = random_vertex();
    for (uint32_t v = 0; v < nr_vertices; v++)
        for (int f = 0; f < FEATURES; f++)
            vertices[0][v].feature[f] = vertices[1][v].feature[f] = 1.0f / (float)(v + f + 1);
}

static void propagate(const struct vertex *from, struct vertex *to, uint32_t v)
{
    struct vertex sum = {{0}};
    for (uint32_t e = 0; e < per_vertex; e++) {
        const struct vertex *s = &from[source[(size_t)v * per_vertex + e]];
        for (int f = 0; f < FEATURES; f++)
            sum.feature[f] += s->feature[f];
    }
    for (int f = 0; f < FEATURES; f++)
        to[v].feature[f] = sum.feature[f] / (float)per_vertex;
}

static void *worker(void *arg)
{
    uint32_t part = (uint32_t)(uintptr_t)arg;
    uint32_t first = (uint32_t)((uint64_t)nr_vertices * part / nr_threads);
    uint32_t last = (uint32_t)((uint64_t)nr_vertices * (part + 1) / nr_threads);
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t v = first; v < last; v++)
            propagate(vertices[round & 1], vertices[~round & 1], v);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: graph VERTICES_LOG2 EDGES_PER_VERTEX ROUNDS THREADS\n");
        return 2;
    }
    nr_vertices = 1u << atoi(argv[1]);
    per_vertex = (uint32_t)atoi(argv[2]);
    rounds = (uint32_t)atoi(argv[3]);
    nr_threads = (uint32_t)atoi(argv[4]);
    pthread_t *threads = calloc(nr_threads, sizeof *threads);
    if (!threads || nr_threads == 0 || pthread_barrier_init(&barrier, NULL, nr_threads))
        return 1;
    build();
    for (uint32_t i = 0; i < nr_threads; i++)
        if (pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)i))
            return 1;
    for (uint32_t i = 0; i < nr_threads; i++)
        pthread_join(threads[i], NULL);
    printf("%g\n", (double)vertices[rounds & 1][0].feature[0]);
    return 0;
}
