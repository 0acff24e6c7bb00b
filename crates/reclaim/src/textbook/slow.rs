//! Each policy once more as its source tells it, on plain vectors that are searched.

use std::collections::VecDeque;

/// Whether it was a hit, and what was evicted.
pub(super) type Outcome = (bool, Option<u32>);

/// A policy as one function.
pub(super) type Slow = Box<dyn FnMut(u32) -> Outcome>;

fn take(queue: &mut VecDeque<u32>, page: u32) -> bool {
    let found = queue.iter().position(|other| *other == page);
    found.is_some_and(|at| queue.remove(at).is_some())
}

/// The page that does not fit.
fn overflow(queue: &mut VecDeque<u32>, most: usize) -> Option<u32> {
    if queue.len() > most { queue.pop_back() } else { None }
}

pub(super) fn lru(capacity: usize) -> Slow {
    let mut stack = VecDeque::new();
    Box::new(move |page| {
        let hit = take(&mut stack, page);
        stack.push_front(page);
        (hit, overflow(&mut stack, capacity))
    })
}

pub(super) fn fifo(capacity: usize) -> Slow {
    let mut queue = VecDeque::new();
    Box::new(move |page| {
        if queue.contains(&page) {
            return (true, None);
        }
        queue.push_front(page);
        (false, overflow(&mut queue, capacity))
    })
}

/// With a hand over fixed slots.
pub(super) fn clock(capacity: usize, most: u32) -> Slow {
    let mut slots: Vec<(u32, u32)> = Vec::new();
    let mut hand = 0;
    Box::new(move |page| {
        if let Some((_, count)) = slots.iter_mut().find(|(other, _)| *other == page) {
            *count = (*count + 1).min(most);
            return (true, None);
        }
        if slots.len() < capacity {
            slots.push((page, 0));
            return (false, None);
        }
        while slots[hand].1 > 0 {
            slots[hand].1 -= 1;
            hand = (hand + 1) % capacity;
        }
        let victim = std::mem::replace(&mut slots[hand], (page, 0)).0;
        hand = (hand + 1) % capacity;
        (false, Some(victim))
    })
}

pub(super) fn two_q(capacity: usize, k_in: usize, k_out: usize) -> Slow {
    let [mut a1in, mut a1out, mut am] = [const { VecDeque::new() }; 3];
    Box::new(move |page| {
        if a1in.contains(&page) {
            return (true, None);
        }
        if take(&mut am, page) {
            am.push_front(page);
            return (true, None);
        }
        let remembered = take(&mut a1out, page);
        let mut victim = None;
        if a1in.len() + am.len() == capacity {
            if a1in.len() > k_in || am.is_empty() {
                victim = a1in.pop_back();
                a1out.extend(victim);
                a1out.rotate_right(1);
                overflow(&mut a1out, k_out);
            } else {
                victim = am.pop_back();
            }
        }
        if remembered {
            am.push_front(page)
        } else {
            a1in.push_front(page)
        }
        (false, victim)
    })
}

/// Figure 4 of the paper, case by case.
pub(super) fn arc(c: usize) -> Slow {
    let [mut t1, mut t2, mut b1, mut b2] = [const { VecDeque::<u32>::new() }; 4];
    let mut p = 0.0f64;
    Box::new(move |x| {
        fn replace(
            [t1, t2, b1, b2]: [&mut VecDeque<u32>; 4],
            p: f64,
            x_in_b2: bool,
        ) -> Option<u32> {
            let len = t1.len() as f64;
            let first = !t1.is_empty() && ((x_in_b2 && len == p) || len > p) || t2.is_empty();
            let (from, to) = if first { (t1, b1) } else { (t2, b2) };
            let victim = from.pop_back()?;
            to.push_front(victim);
            Some(victim)
        }
        // Case I.
        if take(&mut t1, x) || take(&mut t2, x) {
            t2.push_front(x);
            return (true, None);
        }
        // Cases II and III.
        let (in_b1, in_b2) = (b1.contains(&x), b2.contains(&x));
        if in_b1 || in_b2 {
            let (l1, l2) = (b1.len() as f64, b2.len() as f64);
            p = if in_b1 {
                (c as f64).min(p + 1f64.max(l2 / l1))
            } else {
                0f64.max(p - 1f64.max(l1 / l2))
            };
            take(if in_b1 { &mut b1 } else { &mut b2 }, x);
            let victim = replace([&mut t1, &mut t2, &mut b1, &mut b2], p, in_b2);
            t2.push_front(x);
            return (false, victim);
        }
        // Case IV.
        let mut victim = None;
        if t1.len() + b1.len() == c {
            if t1.len() < c {
                b1.pop_back();
                victim = replace([&mut t1, &mut t2, &mut b1, &mut b2], p, false);
            } else {
                victim = t1.pop_back();
            }
        } else if t1.len() + t2.len() + b1.len() + b2.len() >= c {
            if t1.len() + t2.len() + b1.len() + b2.len() == 2 * c {
                b2.pop_back();
            }
            victim = replace([&mut t1, &mut t2, &mut b1, &mut b2], p, false);
        }
        t1.push_front(x);
        (false, victim)
    })
}

pub(super) fn s3_fifo(capacity: usize, small_size: usize, ghost_size: usize) -> Slow {
    let [mut small, mut main] = [const { VecDeque::<(u32, u32)>::new() }; 2];
    let mut ghost = VecDeque::new();
    let mut filling = true;
    Box::new(move |page| {
        let found = small.iter_mut().chain(&mut main).find(|(other, _)| *other == page);
        if let Some((_, hits)) = found {
            *hits += 1;
            return (true, None);
        }
        let remembered = take(&mut ghost, page);
        let mut victim = None;
        while small.len() + main.len() == capacity && victim.is_none() {
            filling = false;
            if main.len() > capacity - small_size || small.is_empty() {
                let Some((oldest, hits)) = main.pop_back() else { break };
                if hits == 0 {
                    victim = Some(oldest);
                } else {
                    main.push_front((oldest, hits.min(3) - 1));
                }
            } else if let Some((oldest, hits)) = small.pop_back() {
                if hits >= 2 {
                    main.push_front((oldest, 0));
                    // The small queue goes on until it gives a victim or is empty.
                    while let Some((oldest, hits)) = small.pop_back() {
                        if hits < 2 {
                            victim = Some(oldest);
                            break;
                        }
                        main.push_front((oldest, 0));
                    }
                } else {
                    victim = Some(oldest);
                }
                if let Some(oldest) = victim {
                    ghost.push_front(oldest);
                    overflow(&mut ghost, ghost_size);
                }
            }
        }
        let to_main = remembered || filling && small.len() >= small_size;
        if to_main {
            main.push_front((page, 0))
        } else {
            small.push_front((page, 0))
        }
        (false, victim)
    })
}

/// Newest first; the hand is an index that moves towards 0.
pub(super) fn sieve(capacity: usize) -> Slow {
    let mut queue: VecDeque<(u32, bool)> = VecDeque::new();
    let mut hand: Option<usize> = None;
    Box::new(move |page| {
        if let Some((_, visited)) = queue.iter_mut().find(|(other, _)| *other == page) {
            *visited = true;
            return (true, None);
        }
        let mut victim = None;
        if queue.len() == capacity {
            let mut at = hand.unwrap_or(queue.len() - 1);
            while queue[at].1 {
                queue[at].1 = false;
                at = at.checked_sub(1).unwrap_or(queue.len() - 1);
            }
            victim = queue.remove(at).map(|(oldest, _)| oldest);
            hand = at.checked_sub(1);
        }
        queue.push_front((page, false));
        hand = hand.map(|at| at + 1);
        (false, victim)
    })
}

/// In the order in which pages reached their counts.
pub(super) fn lfu(capacity: usize) -> Slow {
    let mut resident: Vec<(u32, u32)> = Vec::new();
    Box::new(move |page| {
        if let Some(at) = resident.iter().position(|(other, _)| *other == page) {
            let (_, count) = resident.remove(at);
            resident.push((page, count + 1));
            return (true, None);
        }
        let mut victim = None;
        if resident.len() == capacity {
            let least = resident.iter().map(|(_, count)| *count).min();
            let at = resident.iter().position(|(_, count)| Some(*count) == least);
            victim = at.map(|at| resident.remove(at).0);
        }
        resident.push((page, 1));
        (false, victim)
    })
}

/// Fewest misses of any policy: every choice of a victim is tried, so only for tiny streams.
pub(super) fn fewest_misses(capacity: usize, resident: &[u32], requests: &[u32]) -> u64 {
    let Some((page, rest)) = requests.split_first() else { return 0 };
    if resident.contains(page) {
        return fewest_misses(capacity, resident, rest);
    }
    let mut with = resident.to_vec();
    with.push(*page);
    if with.len() <= capacity {
        return 1 + fewest_misses(capacity, &with, rest);
    }
    let without = |victim: usize| {
        let mut left = with.clone();
        left.remove(victim);
        fewest_misses(capacity, &left, rest)
    };
    1 + (0..capacity).map(without).min().unwrap_or(0)
}

/// Distinct pages since the last access to each page, `None` at the first (Mattson et al. 1970).
pub(super) fn stack_distances(requests: &[u32]) -> Vec<Option<usize>> {
    let mut stack = VecDeque::new();
    let distance = |page: &u32| {
        let depth = stack.iter().position(|other| other == page);
        take(&mut stack, *page);
        stack.push_front(*page);
        depth
    };
    requests.iter().map(distance).collect()
}
