//! A comparison as text: each case with its tables and its verdict.

use results::{Comparison, summary, verdicts};

use crate::table::{COLUMNS, Frame, fitted, group};
use crate::{killed, memcgs, yardsticks};

/// The cases below each other in at most `width` columns, each with the table of its designs, who was
/// killed, what memory cgroups had, how far from the best they were, and the verdict. Less
/// important figures are left out where there is no room, down to the design and its time. Several
/// cases have titles.
pub fn terminal(comparison: &Comparison, width: usize, frame: Frame) -> String {
    let (rows, designs, verdicts) =
        (summary(comparison), comparison.designs(), verdicts(comparison));
    let cases = group(&rows);
    let mut text = String::new();
    for (case, rows) in &cases {
        if cases.len() > 1 {
            let gap = if text.is_empty() { "" } else { "\n" };
            text += &format!("{gap}{}\n", case.title());
        }
        text += &fitted(COLUMNS.iter().collect(), rows, width, frame);
        text += &killed::text(comparison, case);
        text += &memcgs::text(&memcgs::rows(comparison, case, &designs), width, frame);
        text += &yardsticks::text(&yardsticks::rows(comparison, case, &designs), width, frame);
        // A design alone is there to compare cases with each other, which the tables show.
        let contested = verdicts.iter().filter(|it| it.case == *case && !it.contests.is_empty());
        contested.for_each(|verdict| text += &format!("\n{}\n", verdict.text));
    }
    text
}

#[cfg(test)]
mod tests {
    use results::sample;

    use super::*;

    #[test]
    fn six_designs_fit_eighty_columns_with_every_figure() {
        let text = terminal(&sample::comparison(), 80, Frame::Plain);
        let table = text.split("\n\n").next().unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(table.lines().next().unwrap().contains("p99.9"), "{text}");
        assert!(text.chars().all(|letter| letter.is_ascii() || letter == '±'));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn one_seed_has_no_interval() {
        let one = terminal(&sample::elapsed(&[("base", &[10])]), 80, Frame::Plain);
        assert!(one.contains("base") && !one.contains('±'), "{one}");
        let two = terminal(&sample::elapsed(&[("base", &[10, 10])]), 80, Frame::Plain);
        assert!(two.contains("±0.0"), "{two}");
    }

    #[test]
    fn narrow_terminals_keep_the_answer() {
        for width in [40, 60] {
            let text = terminal(&sample::comparison(), width, Frame::Ruled);
            let table = text.split("\n\n").next().unwrap();
            assert!(table.lines().all(|line| line.chars().count() <= width), "{text}");
            assert!(table.contains("elapsed") && table.contains("autonuma"), "{text}");
        }
    }

    #[test]
    fn every_case_has_its_table_and_its_verdict() {
        let mut comparison = sample::elapsed(&[("base", &[10, 10]), ("fast", &[5, 5])]);
        let slower = comparison.cells.clone().into_iter().map(|mut run| {
            run.axes.insert("threads".to_owned(), "8".to_owned());
            run
        });
        comparison.cells.extend(slower.collect::<Vec<_>>());
        let text = terminal(&comparison, 80, Frame::Plain);
        let (first, second) = text.split_once("\n\nw on m, threads = 8\n").expect("two titles");
        assert!(first.starts_with("w on m\n"), "{text}");
        for part in [first, second] {
            assert_eq!(part.matches("fast wins").count(), 1, "{text}");
        }
    }
}
