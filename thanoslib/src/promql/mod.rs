//! The PromQL engine: plan, operators over blocks of steps, functions.
//!
//! Invariant: knows where samples come from only through [`Queryable`].

mod active;
#[cfg(feature = "promql-parser")]
mod adapter;
mod annotations;
pub mod ast;
mod engine;
mod exec;
mod functions;
mod grain;
mod metrics;
mod names;
mod ops;
mod options;
mod order;
mod pace;
pub(crate) mod parse;
mod plan;
mod pretty;
mod print;
mod queryable;
mod scope;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod tracked;
mod value;

pub use active::{ActiveQuery, QueryState, Queued};
pub use annotations::Annotations;
pub(crate) use ast::FunctionId;
pub use ast::function::{Function, find as find_function};
pub use engine::{Engine, InstantQuery, RangeQuery};
pub use grain::{Grain, Stretch};
pub use metrics::{EngineKind, EngineMetrics};
pub use options::EngineOptions;
pub use parse::{ParseError, SequenceValue, parse, parse_bytes, parse_selector, parse_series};
pub use plan::{Explained, LogicalPlan, OperatorCost};
pub use queryable::{Distributed, Queryable, Select, SelectFrame, SelectStream, SelectedSeries, SeriesData};
pub use tracked::ActiveQueryFile;
pub(crate) use value::{BitSet, Block, Steps};
pub use value::{MatrixSeries, QueryResult, QueryStats, QueryValue, StepStats, VectorSample};
