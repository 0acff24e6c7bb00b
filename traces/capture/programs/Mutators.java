// SPDX-License-Identifier: MIT OR Apache-2.0

import java.util.concurrent.ConcurrentHashMap;

/**
 * Mutators under a parallel copying collector: each thread keeps a private binary tree that it
 * replaces branch by branch, and all share one map that the main thread filled.
 *
 * Usage: java Mutators THREADS ROUNDS
 */
public class Mutators {
    static final int SHARED = 1 << 16;
    static final int DEPTH = 14;

    static final class Node {
        Node left, right;
        long value;
    }

    static Node tree(int depth, long value) {
        Node n = new Node();
        n.value = value;
        if (depth > 0) {
            n.left = tree(depth - 1, value * 2);
            n.right = tree(depth - 1, value * 2 + 1);
        }
        return n;
    }

    static long next(long x) {
        x ^= x << 13;
        x ^= x >>> 7;
        return x ^ x << 17;
    }

    public static void main(String[] args) throws Exception {
        int threads = Integer.parseInt(args[0]);
        int rounds = Integer.parseInt(args[1]);
        ConcurrentHashMap<Long, long[]> shared = new ConcurrentHashMap<>(SHARED * 2);
        for (long i = 0; i < SHARED; i++) {
            shared.put(i, new long[] {i, 0, 0, 0});
        }
        Thread[] workers = new Thread[threads];
        long[] sums = new long[threads * 16];
        for (int t = 0; t < threads; t++) {
            final int me = t;
            workers[t] = new Thread(() -> {
                long x = 88172645463325252L + me;
                Node root = tree(DEPTH, 1);
                for (int r = 0; r < rounds; r++) {
                    Node at = root;
                    for (int d = 0; d < 5; d++) {
                        x = next(x);
                        at = (x & 1) == 0 ? at.left : at.right;
                    }
                    at.left = tree(DEPTH - 6, x);
                    for (int k = 0; k < 64; k++) {
                        x = next(x);
                        long key = (x >>> 16) & (SHARED - 1);
                        long[] entry = shared.get(key);
                        sums[me * 16] += entry[0];
                        if ((x & 15) == 0) {
                            shared.put(key, new long[] {key, entry[1] + 1, me, r});
                        }
                    }
                }
            }, "mutator-" + t);
            workers[t].start();
        }
        long total = 0;
        for (int t = 0; t < threads; t++) {
            workers[t].join();
            total += sums[t * 16];
        }
        System.out.println(total);
    }
}
