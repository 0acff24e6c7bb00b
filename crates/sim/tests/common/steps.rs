//! Threads whose steps are given in advance.

use trace::{Step, ThreadStream, TraceError};

struct Scripted(std::vec::IntoIter<Step>);

impl ThreadStream for Scripted {
    fn next_step(&mut self) -> Result<Step, TraceError> {
        Ok(self.0.next().unwrap_or(Step::End))
    }
}

/// A thread's steps.
pub(crate) fn scripted(steps: Vec<Step>) -> Box<dyn ThreadStream> {
    Box::new(Scripted(steps.into_iter()))
}
