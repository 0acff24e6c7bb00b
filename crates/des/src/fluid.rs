//! How streams share bandwidth: weighted max-min fairness by progressive filling.
//!
//! # The system
//!
//! Streams `i` have a largest rate of their own `m_i` (bytes/s), a weight `w_i > 0`, and use
//! `u_ir >= 0` of resource `r` per unit of rate: a thread that takes a quarter of its lines from
//! node 2 uses 0.25 of that controller; a line that costs the controller 1.5 times as much when it
//! leaves the node uses 1.5 times its share. Resources have capacities `c_r`. Wanted are rates
//!
//! ```text
//! 0 <= x_i <= m_i,    sum_i u_ir x_i <= c_r  for every r,
//! ```
//!
//! that are weighted max-min fair: no stream's `x_i / w_i` can be raised without lowering that of
//! another stream which is not better off. They exist and are unique (D. Bertsekas, R. Gallager,
//! "Data Networks", 2nd ed., section 6.5.2, there with unit uses and weights). They are known by a
//! mark: each stream either has its own maximum or crosses a *bottleneck*, a saturated resource on
//! which no other stream has a larger `x / w`.
//!
//! # Progressive filling
//!
//! All open streams share one *level* `L` and have rates `w_i L`. It grows from 0 until the first
//! of two things happens:
//!
//! - `L = m_i / w_i` for some stream: it freezes at its own maximum;
//! - `L = L_r = (c_r - F_r) / S_r` for some resource, with `F_r` the load of frozen streams and
//!   `S_r = sum of w_i u_ir` over the open ones: the resource is saturated at this level and all
//!   its open streams freeze.
//!
//! Freezing a stream at a level `l <= L_r` can only raise `L_r`, to `(L_r S - l w u) / (S - w u)`,
//! so all maxima up to the smallest `L_r` may be taken at once without sorting them. A round takes
//! at least one distinct maximum or saturates at least one resource, so there are at most
//! (resources + distinct maxima) rounds; a typical machine needs about a dozen. Capacities do not
//! depend on rates, so there is nothing to iterate and nothing can oscillate.
//!
//! # Rounding
//!
//! Events within a relative [`TOLERANCE`] of each other count as one, so a stream whose maximum
//! and bottleneck coincide is limited by its maximum, and of resources that saturate together the
//! lowest id is named. `S_r` shrinks by subtraction; when it has lost six bits it is summed afresh
//! from the open streams, so a tiny share left behind by large ones is still shared exactly.
//!
//! Left out: rates that depend on latency (the caller puts them into `m_i`), and peaks that depend
//! on the rates.

#[cfg(test)]
mod tests;

/// Relative distance at which two levels count as equal.
pub const TOLERANCE: f64 = 1e-9;

/// Sum a slope afresh when it falls below this part of what it was.
const STALE_PART: f64 = 1.0 / 64.0;

/// A resource: its position in the capacities given to [`Fluid::reset`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u16);

impl ResourceId {
    /// As an index.
    pub const fn idx(self) -> usize {
        self.0 as usize
    }
}

/// A stream: how many were added before it since [`Fluid::reset`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamIdx(pub u32);

impl StreamIdx {
    /// As an index.
    pub const fn idx(self) -> usize {
        self.0 as usize
    }
}

/// What keeps a stream from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Its own maximum (a blocked stream's is 0).
    OwnMaximum,
    /// A saturated resource; of several that saturated together, the one with the lowest id.
    Resource(ResourceId),
}

/// The solver, its problem and its solution: a workspace to be reused, which allocates nothing
/// once it has seen its largest problem.
///
/// [`Fluid::reset`], [`Fluid::add_stream`] as often as needed, [`Fluid::solve`], then ask.
#[derive(Clone, Debug, Default)]
pub struct Fluid {
    // Per resource.
    capacity: Vec<f64>,
    /// Load of the frozen streams; of all of them once solved.
    load: Vec<f64>,
    /// Growth of the load per unit of level: sum of weight x use over open streams.
    slope: Vec<f64>,
    /// The slope with all streams open.
    full_slope: Vec<f64>,
    /// Below this the slope is stale.
    stale_below: Vec<f64>,
    /// Uses by open streams.
    nr_open_uses: Vec<u32>,
    /// Level at which it saturated; infinite if it has not.
    level: Vec<f64>,
    /// Level at which it would saturate if no stream reached its maximum before; scratch.
    ahead: Vec<f64>,
    // Per stream.
    own_max: Vec<f64>,
    weight: Vec<f64>,
    rate: Vec<f64>,
    limit: Vec<Limit>,
    /// Set of resources used, `mask_words` words a stream.
    uses_mask: Vec<u64>,
    /// Where a stream's uses end in `uses`; they begin where those of the one before end.
    uses_end: Vec<u32>,
    uses: Vec<(ResourceId, f64)>,
    // While solving.
    mask_words: usize,
    /// Set of the resources that saturate in this round.
    saturating: Vec<u64>,
    /// Streams that still grow.
    open: Vec<u32>,
}

impl Fluid {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all streams and takes new resources, with their capacities in bytes per second
    /// (infinite allowed). Panics on a negative capacity or more than 65536 of them.
    pub fn reset(&mut self, capacities: &[f64]) {
        assert!(capacities.len() <= 1 << 16, "too many resources for their ids");
        assert!(capacities.iter().all(|&c| c >= 0.0), "a capacity must not be negative");
        self.capacity.clear();
        self.capacity.extend_from_slice(capacities);
        self.mask_words = capacities.len().div_ceil(64);
        self.own_max.clear();
        self.weight.clear();
        self.rate.clear();
        self.limit.clear();
        self.uses_mask.clear();
        self.uses_end.clear();
        self.uses.clear();
        self.open.clear();
        self.start_resources();
    }

    /// Adds a stream: its own largest rate in bytes per second (0 when it is blocked), its weight,
    /// and what it uses of each resource per unit of rate (entries of one resource add up).
    ///
    /// Panics unless the maximum is finite and not negative, the weight finite and positive, every
    /// use finite and not negative, and every resource known.
    pub fn add_stream(
        &mut self,
        own_max: f64,
        weight: f64,
        uses: &[(ResourceId, f64)],
    ) -> StreamIdx {
        assert!(own_max.is_finite() && own_max >= 0.0, "own maximum {own_max}");
        assert!(weight.is_finite() && weight > 0.0, "weight {weight}");
        let stream = StreamIdx(self.own_max.len() as u32);
        let mask_start = self.uses_mask.len();
        self.uses_mask.resize(mask_start + self.mask_words, 0);
        let mask = &mut self.uses_mask[mask_start..];
        let mut nr_used = 0;
        for &(resource, part) in uses {
            assert!(resource.idx() < self.capacity.len(), "unknown {resource:?}");
            assert!((0.0..f64::INFINITY).contains(&part), "use {part} of {resource:?}");
            mask[resource.idx() / 64] |= u64::from(part > 0.0) << (resource.idx() % 64);
            nr_used += usize::from(part > 0.0);
        }
        if nr_used == uses.len() {
            self.uses.extend_from_slice(uses);
        } else {
            self.uses.extend(uses.iter().filter(|used| used.1 > 0.0));
        }
        self.uses_end.push(self.uses.len() as u32);
        self.own_max.push(own_max);
        self.weight.push(weight);
        self.rate.push(0.0);
        self.limit.push(Limit::OwnMaximum);
        stream
    }

    /// Changes a stream's own maximum; the next [`Fluid::solve`] takes it into account.
    pub fn set_own_max(&mut self, stream: StreamIdx, own_max: f64) {
        assert!(own_max.is_finite() && own_max >= 0.0, "own maximum {own_max}");
        self.own_max[stream.idx()] = own_max;
    }

    /// Finds all rates.
    pub fn solve(&mut self) {
        self.start_resources();
        self.open_streams();
        let mut level = 0.0_f64;
        while !self.open.is_empty() {
            let next = self.next_saturation().max(level);
            if !self.freeze_at_own_maximum(next * (1.0 + TOLERANCE)) {
                self.saturate(next);
                level = next;
            }
        }
        self.find_levels_of_full_resources();
    }

    fn start_resources(&mut self) {
        let nr_resources = self.capacity.len();
        for zeroed in [&mut self.load, &mut self.slope] {
            zeroed.clear();
            zeroed.resize(nr_resources, 0.0);
        }
        self.nr_open_uses.clear();
        self.nr_open_uses.resize(nr_resources, 0);
        for unknown in [&mut self.level, &mut self.ahead] {
            unknown.clear();
            unknown.resize(nr_resources, f64::INFINITY);
        }
        self.full_slope.clone_from(&self.slope);
        self.stale_below.clone_from(&self.slope);
        self.saturating.clear();
        self.saturating.resize(self.mask_words, 0);
    }

    fn open_streams(&mut self) {
        self.open.clear();
        self.rate.fill(0.0);
        self.limit.fill(Limit::OwnMaximum);
        let streams = self.own_max.iter().enumerate();
        self.open.extend(streams.filter(|&(_, &max)| max > 0.0).map(|(stream, _)| stream as u32));
        self.sum_slopes();
        self.full_slope.clone_from(&self.slope);
    }

    /// Sums the slopes afresh from the open streams.
    fn sum_slopes(&mut self) {
        self.slope.fill(0.0);
        self.nr_open_uses.fill(0);
        for &stream in &self.open {
            let weight = self.weight[stream as usize];
            for &(resource, part) in uses_of(&self.uses, &self.uses_end, stream as usize) {
                self.slope[resource.idx()] += weight * part;
                self.nr_open_uses[resource.idx()] += 1;
            }
        }
        for (stale_below, slope) in self.stale_below.iter_mut().zip(&self.slope) {
            *stale_below = slope * STALE_PART;
        }
    }

    /// The smallest level at which a resource saturates if every open stream goes on growing;
    /// infinite if none does. Leaves each resource's in `ahead`.
    fn next_saturation(&mut self) -> f64 {
        let stale = |((slope, below), uses): ((&f64, &f64), &u32)| *uses > 0 && slope < below;
        if self.slope.iter().zip(&self.stale_below).zip(&self.nr_open_uses).any(stale) {
            self.sum_slopes();
        }
        let mut next = f64::INFINITY;
        for resource in 0..self.capacity.len() {
            let left = (self.capacity[resource] - self.load[resource]).max(0.0);
            let in_use = self.nr_open_uses[resource] > 0;
            let ahead = if in_use { left / self.slope[resource] } else { f64::INFINITY };
            self.ahead[resource] = ahead;
            next = next.min(ahead);
        }
        next
    }

    /// Freezes every open stream whose maximum is reached at or below `level`; whether any was.
    fn freeze_at_own_maximum(&mut self, level: f64) -> bool {
        let mut kept = 0;
        for at in 0..self.open.len() {
            let stream = self.open[at];
            let own_max = self.own_max[stream as usize];
            if own_max <= level * self.weight[stream as usize] {
                self.freeze(stream, own_max, Limit::OwnMaximum);
            } else {
                self.open[kept] = stream;
                kept += 1;
            }
        }
        let any = kept < self.open.len();
        self.open.truncate(kept);
        any
    }

    /// Marks every resource that is full at `level` and freezes the open streams that use one.
    fn saturate(&mut self, level: f64) {
        self.saturating.fill(0);
        for resource in 0..self.capacity.len() {
            if self.ahead[resource] <= level * (1.0 + TOLERANCE) {
                self.level[resource] = level;
                self.saturating[resource / 64] |= 1 << (resource % 64);
            }
        }
        let mut kept = 0;
        for at in 0..self.open.len() {
            let stream = self.open[at];
            if let Some(resource) = self.first_saturating(stream as usize) {
                let rate = level * self.weight[stream as usize];
                self.freeze(stream, rate, Limit::Resource(resource));
            } else {
                self.open[kept] = stream;
                kept += 1;
            }
        }
        self.open.truncate(kept);
    }

    /// The lowest resource that the stream uses and that saturates in this round.
    fn first_saturating(&self, stream: usize) -> Option<ResourceId> {
        let mask = &self.uses_mask[stream * self.mask_words..][..self.mask_words];
        let words = mask.iter().zip(&self.saturating).enumerate();
        words
            .map(|(word, (mask, saturating))| (word as u32, mask & saturating))
            .find(|&(_, common)| common != 0)
            .map(|(word, common)| ResourceId((word * 64 + common.trailing_zeros()) as u16))
    }

    fn freeze(&mut self, stream: u32, rate: f64, limit: Limit) {
        let weight = self.weight[stream as usize];
        self.rate[stream as usize] = rate;
        self.limit[stream as usize] = limit;
        for &(resource, part) in uses_of(&self.uses, &self.uses_end, stream as usize) {
            self.load[resource.idx()] += part * rate;
            self.slope[resource.idx()] -= part * weight;
            self.nr_open_uses[resource.idx()] -= 1;
        }
    }

    /// A resource may be full although each of its streams stopped at its maximum, the last one
    /// just when it was full. Its level is the largest one on it.
    fn find_levels_of_full_resources(&mut self) {
        for resource in 0..self.capacity.len() {
            let full = self.load[resource] >= self.capacity[resource] * (1.0 - TOLERANCE);
            if full && self.level[resource].is_infinite() {
                let users = (0..self.rate.len()).filter(|stream| {
                    let word = self.uses_mask[stream * self.mask_words + resource / 64];
                    word >> (resource % 64) & 1 == 1
                });
                let levels = users.map(|stream| self.rate[stream] / self.weight[stream]);
                self.level[resource] = levels.fold(0.0, f64::max);
            }
        }
    }
}

/// Questions to a solved problem.
impl Fluid {
    /// Streams added since the last [`Fluid::reset`].
    pub fn nr_streams(&self) -> usize {
        self.own_max.len()
    }

    /// The stream's rate in bytes per second.
    pub fn rate(&self, stream: StreamIdx) -> f64 {
        self.rate[stream.idx()]
    }

    /// All rates in bytes per second, in the order in which the streams were added.
    pub fn rates(&self) -> &[f64] {
        &self.rate
    }

    /// What keeps the stream from being faster.
    pub fn limit(&self, stream: StreamIdx) -> Limit {
        self.limit[stream.idx()]
    }

    /// The resource's capacity in bytes per second.
    pub fn capacity(&self, resource: ResourceId) -> f64 {
        self.capacity[resource.idx()]
    }

    /// What all streams together take of the resource, in bytes per second.
    pub fn load(&self, resource: ResourceId) -> f64 {
        self.load[resource.idx()]
    }

    /// Load over capacity; 0 for a resource without capacity that nobody uses.
    pub fn utilisation(&self, resource: ResourceId) -> f64 {
        let (load, capacity) = (self.load(resource), self.capacity(resource));
        if capacity > 0.0 { load / capacity } else { 0.0 }
    }

    /// Whether the resource is full.
    pub fn is_saturated(&self, resource: ResourceId) -> bool {
        self.level(resource).is_finite()
    }

    /// Rate per unit of weight at which the resource saturated; infinite if it did not.
    pub fn level(&self, resource: ResourceId) -> f64 {
        self.level[resource.idx()]
    }

    /// An estimate, without solving again, of the rate of one more stream that joins those solved
    /// for.
    ///
    /// A saturated resource gives it the level times its weight, as to the streams already held
    /// there. One that is not saturated gives what is left, or its weighted share of the whole
    /// capacity if that is more: on a nearly full resource the others would have to make room.
    pub fn fair_rate(&self, own_max: f64, weight: f64, uses: &[(ResourceId, f64)]) -> f64 {
        let used = uses.iter().filter(|&&(_, part)| part > 0.0);
        used.fold(own_max, |rate, &(resource, part)| {
            let level = self.level(resource);
            if level.is_finite() {
                return rate.min(level * weight);
            }
            let capacity = self.capacity(resource);
            let left = (capacity - self.load(resource)) / part;
            let share = weight * capacity / (self.full_slope[resource.idx()] + weight * part);
            rate.min(left.max(share))
        })
    }
}

/// The uses of one stream.
fn uses_of<'a>(
    uses: &'a [(ResourceId, f64)],
    ends: &[u32],
    stream: usize,
) -> &'a [(ResourceId, f64)] {
    let start = stream.checked_sub(1).map_or(0, |before| ends[before]);
    &uses[start as usize..ends[stream] as usize]
}
