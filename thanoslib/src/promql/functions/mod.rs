//! The functions of PromQL.
//!
//! Invariant: computes on blocks of steps and windows of samples; knows no stores.

mod absent;
mod angle;
pub(crate) mod dates;
mod histograms;
pub(crate) mod info;
mod labels;
mod math;
pub(crate) mod range;
mod simple_histograms;
mod sort;
mod trig;

use crate::{
    error::{Error, Result},
    model::Labels,
    promql::{
        BitSet, Block,
        ast::{Expr, Function, FunctionId as Id},
        names::{drop_name, steps_of, unique},
        scope::Scope,
    },
};

pub(crate) use absent::absent_labels;
pub(crate) use math::{go_max, go_min};
pub(crate) use trig::pow;

/// Value of an argument.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    /// Series.
    Vector(Vec<Block>),
    /// A float for each step.
    Scalar(Vec<f64>),
    /// Any bytes.
    String(Vec<u8>),
}

/// Arguments in order, taken by type.
struct Args {
    function: &'static Function,
    args: std::vec::IntoIter<Arg>,
}

impl Args {
    fn wrong(&self, want: &str) -> Error {
        Error::internal(format!("{} lacks an argument of type {want}", self.function.name))
    }

    fn vector(&mut self) -> Result<Vec<Block>> {
        match self.args.next() {
            Some(Arg::Vector(blocks)) => Ok(blocks),
            _ => Err(self.wrong("instant vector")),
        }
    }

    fn scalar(&mut self) -> Result<Vec<f64>> {
        match self.args.next() {
            Some(Arg::Scalar(values)) => Ok(values),
            _ => Err(self.wrong("scalar")),
        }
    }

    fn string(&mut self) -> Result<Vec<u8>> {
        match self.args.next() {
            Some(Arg::String(s)) => Ok(s),
            _ => Err(self.wrong("string")),
        }
    }

    fn is_empty(&self) -> bool {
        self.args.len() == 0
    }
}

/// Calls a function whose arguments are instant vectors, scalars and strings and that gives an
/// instant vector; `node` is the call, `exprs` its arguments as written.
///
/// `timestamp` gives the time of the step; the times of samples are known to selectors only.
///
/// # Errors
/// `Invalid` when an argument has no meaning for the function.
pub(crate) fn call(
    scope: &mut Scope<'_>,
    node: &Expr,
    function: &'static Function,
    exprs: &[Expr],
    args: Vec<Arg>,
) -> Result<Vec<Block>> {
    scope.check()?;
    let mut args = Args { function, args: args.into_iter() };
    let id = function.id;
    if let Some(f) = math::function(id) {
        let blocks = args.vector()?;
        return map_floats(scope, blocks, f);
    }
    if let Some(field) = dates::field(id) {
        let blocks = args.vector()?;
        return map_floats(scope, blocks, |v| dates::apply(field, v));
    }
    if let Some(statistic) = simple_histograms::statistic(id) {
        let blocks = args.vector()?;
        return simple_histograms::apply(scope, blocks, statistic);
    }
    match id {
        Id::Clamp => {
            let (blocks, min, max) = (args.vector()?, args.scalar()?, args.scalar()?);
            math::clamp(scope, blocks, Some(&min), Some(&max))
        }
        Id::ClampMin => {
            let (blocks, min) = (args.vector()?, args.scalar()?);
            math::clamp(scope, blocks, Some(&min), None)
        }
        Id::ClampMax => {
            let (blocks, max) = (args.vector()?, args.scalar()?);
            math::clamp(scope, blocks, None, Some(&max))
        }
        Id::Round => {
            let blocks = args.vector()?;
            let nearest = if args.is_empty() { None } else { Some(args.scalar()?) };
            math::round(scope, blocks, nearest.as_deref())
        }
        Id::VectorOf => {
            let values = args.scalar()?;
            let present = BitSet::full(values.len());
            let (labels, histograms) = (Labels::empty(), Vec::new());
            Ok(vec![Block { labels, drop_name: false, floats: values, present, histograms }])
        }
        Id::Timestamp => {
            let blocks = args.vector()?;
            step_times(scope, blocks)
        }
        Id::Absent => {
            let blocks = args.vector()?;
            Ok(absent::absent(scope, exprs.first(), &blocks))
        }
        Id::Sort | Id::SortDesc => {
            let blocks = args.vector()?;
            Ok(sort::by_value(scope, node, blocks, id == Id::SortDesc))
        }
        Id::SortByLabel | Id::SortByLabelDesc => {
            let blocks = args.vector()?;
            let mut names = Vec::new();
            while !args.is_empty() {
                names.push(args.string()?);
            }
            Ok(sort::by_label(scope, node, blocks, &names, id == Id::SortByLabelDesc))
        }
        Id::LabelReplace => {
            let blocks = args.vector()?;
            let (dst, replacement) = (args.string()?, args.string()?);
            let (src, pattern) = (args.string()?, args.string()?);
            labels::replace(scope, blocks, &dst, &replacement, &src, &pattern)
        }
        Id::LabelJoin => {
            let blocks = args.vector()?;
            let (dst, separator) = (args.string()?, args.string()?);
            let mut sources = Vec::new();
            while !args.is_empty() {
                sources.push(args.string()?);
            }
            labels::join(scope, blocks, &dst, &separator, &sources)
        }
        Id::HistogramQuantile => {
            let (q, blocks) = (args.scalar()?, args.vector()?);
            histograms::quantile(scope, exprs, &q, blocks)
        }
        Id::HistogramQuantiles => {
            let (blocks, label) = (args.vector()?, args.string()?);
            let mut q = Vec::new();
            while !args.is_empty() {
                q.push(args.scalar()?);
            }
            histograms::quantiles(scope, exprs, blocks, &label, &q)
        }
        Id::HistogramFraction => {
            let (lower, upper, blocks) = (args.scalar()?, args.scalar()?, args.vector()?);
            histograms::fraction(scope, exprs, &lower, &upper, blocks)
        }
        _ => Err(Error::internal(format!("{} is not a function of instant vectors", function.name))),
    }
}

/// Applies a function to all floats; histograms fall away, and so does the name.
fn map_floats(scope: &Scope<'_>, mut blocks: Vec<Block>, f: impl Fn(f64) -> f64) -> Result<Vec<Block>> {
    map_blocks(scope, &mut blocks, |block| {
        let floats = &mut block.floats;
        block.present.iter().for_each(|i| floats[i] = f(floats[i]));
    })?;
    unique(scope, blocks)
}

/// Changes the floats of each block; histograms fall away, and so does the name.
fn map_blocks(scope: &Scope<'_>, blocks: &mut Vec<Block>, f: impl Fn(&mut Block)) -> Result<()> {
    for block in blocks.iter_mut() {
        scope.check()?;
        block.histograms.clear();
        f(block);
        drop_name(block, scope.options);
    }
    blocks.retain(|b| !b.is_empty());
    Ok(())
}

fn step_times(scope: &Scope<'_>, mut blocks: Vec<Block>) -> Result<Vec<Block>> {
    for block in &mut blocks {
        scope.check()?;
        block.present = steps_of(block);
        block.histograms.clear();
        for (v, t) in block.floats.iter_mut().zip(scope.steps.iter()) {
            *v = t as f64 / 1000.0;
        }
        drop_name(block, scope.options);
    }
    unique(scope, blocks)
}

#[cfg(test)]
mod tests;
