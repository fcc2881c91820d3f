//! The PromQL engine: plan, operators over blocks of steps, functions.
//!
//! Invariant: knows where samples come from only through [`Queryable`].

mod queryable;

pub use queryable::{Queryable, Select, SelectFrame, SelectStream, SelectedSeries, SeriesData};
