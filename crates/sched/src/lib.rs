//! CPUs, run queues, scheduling domains, load balancing.
//!
//! Mechanism only: who waits where, who is next, which move would even out the load. Decisions of
//! NUMA designs come in as answers to [`Permit`] questions; moves go out as [`TaskMove`] values that
//! the engine carries out with [`Sched::apply`] once it has stopped what runs.
//!
//! What is modelled is the essence of the kernel's fair class: CFS or EEVDF order, slices, wake-up
//! preemption, fork and wake-up placement, and newly-idle, periodic and active balancing over SMT,
//! last-level-cache, package and NUMA levels. Left out: other classes, cgroups, bandwidth control,
//! utilisation clamping, asymmetric capacity, decaying load averages (load is the sum of runnable
//! weights at the moment), and the time the scheduler's own code takes.
//!
//! # The engine's loop
//!
//! Times given as `now` may differ between CPUs by the engine's quantum; nothing here assumes that
//! they rise over all calls.
//!
//! - *Fork*: `add_task`, `select_cpu_fork`, `enqueue`; then as for a wake-up.
//! - *Wake-up*: `select_cpu_wakeup`; if that CPU runs something, stop it at `now` and `account` it;
//!   `enqueue`; if `wakeup_preempts`, the CPU does `pick_next` (which puts its current task back),
//!   else it goes on.
//! - *Tick or quantum end*: `account`; if `should_preempt`, `pick_next`. `slice_left` says how long
//!   the quantum may be.
//! - *Block or exit*: `account`, `dequeue`, `pick_next`. On `None`: `newidle_balance`; on a move,
//!   `apply` it and `pick_next` again; on `None` again the CPU idles until something is enqueued.
//! - *Balance tick*, one event per CPU at `next_balance`: while there is a `due_level`,
//!   `periodic_balance`, and each move it returns: if `running`, stop and `account` the source CPU;
//!   `apply`; `pick_next` on the source if it lost its task, and on the target if it was idle. Then
//!   schedule the next tick at `next_balance` (which changes when a CPU goes idle or busy: reschedule
//!   then, or let a stale tick find nothing due).
//! - *Move asked by a design*: `set_affinity`, `apply` or `swap`, after stopping and accounting the
//!   CPUs concerned.
//! - *Noise of daemons*, either: a real task that is enqueued on a random allowed CPU
//!   ([`Sched::daemon_cpu`]), runs shortly and blocks; or [`Sched::noise_swap`], the net effect.

mod balance;
mod domain;
mod entity;
mod group;
mod knobs;
mod noise;
mod place;
mod runqueue;
mod sched;
mod views;

pub use balance::{Permit, PermitFn};
pub use domain::Level;
pub use knobs::{FairPolicy, ImbNumaNr, NICE_0_WEIGHT, SchedKnobs, weight_of_nice};
pub use noise::SeekIdle;
pub use place::Sync;
pub use sched::{Leave, Picked, Sched, SchedError, TaskMove, TaskState};
