//! Who wins, by how much, and how sure that is.

use serde::Serialize;

use crate::estimate::{CONFIDENCE, paired_p_value};
use crate::summary::paired_ratios;
use crate::{Case, Comparison, Estimate};

/// The answer for one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Case.
    pub case: Case,
    /// Design with the least mean elapsed time; empty where nothing finished.
    pub winner: String,
    /// Whether it was told apart from every other design.
    pub sure: bool,
    /// The winner against each other design with common seeds, the closest first.
    pub contests: Vec<Contest>,
    /// The answer in words.
    pub text: String,
}

/// The winner against one other design.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contest {
    /// The other design.
    pub against: String,
    /// How many times as fast the winner is: the other's elapsed time divided by the winner's,
    /// paired by seed.
    pub times_as_fast: Estimate,
    /// Pairs.
    pub nr_pairs: usize,
    /// Two-sided p-value of the paired t test on the ratio's distance from one; NaN (`null`) with
    /// fewer than two pairs.
    pub p_value: f64,
    /// Whether a difference is established at 95 % when all the winner's contests are judged
    /// together (Bonferroni: the winner was picked after looking).
    pub sure: bool,
}

/// One verdict per case, in the order of the cells.
pub fn verdicts(comparison: &Comparison) -> Vec<Verdict> {
    comparison.cases().into_iter().map(|case| verdict(comparison, case)).collect()
}

fn verdict(comparison: &Comparison, case: Case) -> Verdict {
    let ranked = ranking(comparison, &case);
    let Some((winner, others)) = ranked.split_first() else {
        let text = "No design finished.".to_owned() + &of_the_killed(comparison, &case);
        return Verdict { case, winner: String::new(), sure: false, contests: Vec::new(), text };
    };
    let contests =
        others.iter().map(|other| contest(comparison, &case, winner, other, others.len()));
    let contests: Vec<Contest> = contests.filter(|contest| contest.nr_pairs > 0).collect();
    let sure = !contests.is_empty() && contests.iter().all(|contest| contest.sure);
    let text =
        in_words(winner, &comparison.baseline, &contests) + &of_the_killed(comparison, &case);
    Verdict { case, winner: winner.clone(), sure, contests, text }
}

/// Says that runs are left out because a process was killed in them.
fn of_the_killed(comparison: &Comparison, case: &Case) -> String {
    let runs = comparison.cells.iter().filter(|run| Case::of(run) == *case);
    let killed = runs.clone().filter(|run| !run.oom_kills().is_empty()).count();
    match killed {
        0 => String::new(),
        _ => format!(
            " {killed} of {} runs are left out of this: a process was killed in them.",
            runs.count()
        ),
    }
}

/// Designs that finished, the fastest first; equals stay in the order of the cells.
fn ranking(comparison: &Comparison, case: &Case) -> Vec<String> {
    let mut ranked: Vec<(f64, String)> = Vec::new();
    for design in comparison.designs() {
        let times: Vec<f64> =
            comparison.complete(case, &design).map(|run| run.elapsed.as_secs_f64()).collect();
        if !times.is_empty() {
            ranked.push((Estimate::of(&times).mean, design));
        }
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.into_iter().map(|(_, design)| design).collect()
}

fn contest(
    comparison: &Comparison,
    case: &Case,
    winner: &str,
    other: &str,
    nr_contests: usize,
) -> Contest {
    let ratios = paired_ratios(comparison, case, other, winner);
    let distances: Vec<f64> = ratios.iter().map(|ratio| ratio - 1.0).collect();
    let p_value = paired_p_value(&distances);
    Contest {
        against: other.to_owned(),
        times_as_fast: Estimate::of(&ratios),
        nr_pairs: ratios.len(),
        p_value,
        sure: p_value * (nr_contests as f64) < 1.0 - CONFIDENCE,
    }
}

fn in_words(winner: &str, baseline: &str, contests: &[Contest]) -> String {
    let Some(closest) = contests.first() else {
        return format!("{winner} has no rival on the same seeds.");
    };
    if contests.iter().all(|contest| contest.nr_pairs < 2) {
        let margin = closest.times_as_fast.mean;
        return format!(
            "{winner} is fastest, {margin:.3} times as fast as {}, from one seed: how sure that is cannot be said.",
            closest.against
        );
    }
    let level = CONFIDENCE * 100.0;
    let level = format!("{level:.0} %");
    let open: Vec<&str> = contests
        .iter()
        .filter(|contest| !contest.sure)
        .map(|contest| contest.against.as_str())
        .collect();
    let lead = margin(closest);
    if open.len() == contests.len() {
        return format!(
            "No difference at {level}: {winner} has the least mean time ({lead}), but no design can be told from it."
        );
    }
    let mut text = if open.is_empty() {
        format!("{winner} wins: {lead}")
    } else {
        // The closest that is surely behind; there is one, since not all are open.
        let behind = contests.iter().find(|contest| contest.sure).map(margin).unwrap_or_default();
        let ahead = [&[winner], open.as_slice()].concat().join(", ");
        format!("Not to be told apart at {level}: {ahead}. {winner} is {behind}")
    };
    if let Some(base) = contests.iter().find(|contest| contest.against == baseline) {
        let next = contests.iter().find(|contest| contest.sure).unwrap_or(closest);
        if base.sure && base.against == next.against {
            text += " (the baseline)";
        } else if base.sure {
            text += &format!(" and {} (the baseline)", margin(base));
        }
    } else if winner == baseline {
        text += "; it is the baseline";
    }
    text + &format!(". Intervals at {level}, paired over {} seeds.", closest.nr_pairs)
}

fn margin(contest: &Contest) -> String {
    let Estimate { mean, low, high, .. } = contest.times_as_fast;
    format!("{mean:.3} times [{low:.3}, {high:.3}] as fast as {}", contest.against)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn only(designs: &[(&str, &[u64])]) -> Verdict {
        verdicts(&sample::elapsed(designs)).remove(0)
    }

    #[test]
    fn clear_winner_is_named_with_its_margin() {
        let got =
            only(&[("base", &[100, 104, 96]), ("good", &[50, 52, 48]), ("bad", &[150, 156, 144])]);
        assert!(got.sure);
        assert_eq!(
            got.text,
            "good wins: 2.000 times [2.000, 2.000] as fast as base (the baseline). Intervals at 95 %, paired over 3 seeds."
        );
    }

    #[test]
    fn noise_is_not_called_a_win() {
        let got = only(&[("base", &[100, 90, 110]), ("other", &[95, 101, 103])]);
        assert!(!got.sure);
        assert!(got.text.starts_with("No difference at 95 %"), "{}", got.text);
    }

    #[test]
    fn designs_that_cannot_be_told_from_the_leader_are_named() {
        let got = only(&[
            ("base", &[200, 202, 198, 201]),
            ("a", &[100, 110, 90, 101]),
            ("b", &[101, 99, 104, 100]),
        ]);
        assert!(!got.sure);
        assert!(
            got.text.starts_with("Not to be told apart at 95 %: a, b. a is 2.0"),
            "{}",
            got.text
        );
        assert!(got.text.contains("as fast as base (the baseline). Intervals"), "{}", got.text);
    }

    #[test]
    fn one_seed_gives_no_certainty() {
        let got = only(&[("base", &[100]), ("good", &[50])]);
        assert!(!got.sure);
        assert!(got.text.ends_with("how sure that is cannot be said."), "{}", got.text);
    }

    #[test]
    fn without_common_seeds_nothing_is_said() {
        let mut comparison = sample::elapsed(&[("base", &[10]), ("fast", &[5])]);
        comparison.cells[1].seed = 9;
        let got = verdicts(&comparison).remove(0);
        assert_eq!((got.text.as_str(), got.sure), ("fast has no rival on the same seeds.", false));
    }

    #[test]
    fn baseline_may_win() {
        let got = only(&[("base", &[50, 51]), ("worse", &[100, 102])]);
        assert!(
            got.text.contains("base wins") && got.text.contains("it is the baseline"),
            "{}",
            got.text
        );
    }
}
