//! Lruvecs and reclaim engines
