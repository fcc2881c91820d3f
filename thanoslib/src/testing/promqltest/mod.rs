//! Runs scripts of upstream's PromQL test language against the engine.
//!
//! Invariant: knows the engine and series in memory; reads no files.

mod at;
mod compare;
mod load;
mod script;
mod text;

use std::{sync::Arc, time::Duration};

use crate::{
    context::Context,
    error::Error,
    model::{Labels, Value},
    promql::{Engine, EngineOptions, InstantQuery, QueryResult, QueryValue, RangeQuery, ast::Expr, parse},
    runtime::Inline,
    testing::MemoryQueryable,
};
use script::{Eval, Time, What};

/// How scripts are run.
///
/// ```
/// use thanoslib::testing::promqltest::{RunOptions, run_script};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let script = "load 1m\n  up 1x5\n\neval instant at 5m up + 1\n  {} 2\n";
/// let outcomes = run_script("demo", script, &RunOptions::default()).await;
/// assert!(outcomes.len() == 1 && outcomes[0].result.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Options of the engine.
    pub engine: EngineOptions,
    /// Longest time of one query.
    pub timeout: Duration,
}

impl Default for RunOptions {
    /// What upstream's own scripts assume: every feature but type and unit labels.
    fn default() -> Self {
        Self {
            engine: EngineOptions {
                samples_max: 10_000,
                experimental_functions: true,
                delayed_name_removal: true,
                fill_modifiers: true,
                start_timestamps: true,
                extended_range_selectors: true,
                ..EngineOptions::default()
            },
            timeout: Duration::from_secs(100),
        }
    }
}

/// What came of one `eval` command, or of a command that cannot be read or carried out.
///
/// See [`RunOptions`].
#[derive(Clone, Debug)]
pub struct EvalOutcome {
    /// Line of the command, from 1.
    pub line: usize,
    /// The query, or the command.
    pub query: String,
    /// How the answer differs from what is expected.
    pub result: Result<(), String>,
}

/// Runs a script over empty storage; commands that load well leave no outcome.
///
/// Every instant query also runs pinned to its time at other times, and as a range query
/// around it, as upstream's runner does.
pub async fn run_script(name: &str, text: &str, options: &RunOptions) -> Vec<EvalOutcome> {
    let engine = Engine::new(options.engine.clone(), Arc::new(Inline));
    let mut store = Arc::new(MemoryQueryable::default());
    let mut outcomes = Vec::new();
    for command in script::read(text) {
        let line = command.line;
        let bad = |query: String, why: String| EvalOutcome {
            line,
            query,
            result: Err(format!("{name}:{line}: {why}")),
        };
        match command.what {
            What::Clear => Arc::make_mut(&mut store).clear(),
            What::Load(load) => {
                if let Err(why) = load::load(Arc::make_mut(&mut store), &load) {
                    outcomes.push(bad("load".to_owned(), why));
                }
            }
            What::Bad(head, why) => outcomes.push(bad(head, why)),
            What::Eval(eval) => {
                let runner = Runner { engine: &engine, store: &store, options };
                let result = runner.eval(&eval).await.map_err(|e| format!("{name}:{line}: {e}"));
                outcomes.push(EvalOutcome { line, query: eval.query, result });
            }
        }
    }
    outcomes
}

struct Runner<'a> {
    engine: &'a Engine,
    store: &'a Arc<MemoryQueryable>,
    options: &'a RunOptions,
}

/// How far before and after its time an instant query is run as a range query, and its step.
const AROUND_MS: i64 = 60_000;

impl Runner<'_> {
    async fn eval(&self, eval: &Eval) -> Result<(), String> {
        let expr = parse(&eval.query, &self.options.engine).map_err(|e| e.to_string())?;
        match eval.time {
            Time::Range { start_ms, end_ms, step_ms } => {
                let answer = self.range(eval, &expr, start_ms, end_ms, step_ms).await;
                compare::judge(eval, &answer)
            }
            Time::Instant(t_ms) => {
                self.instant(eval, &expr, t_ms).await?;
                if at::depends_on_time(&expr) {
                    return Ok(());
                }
                let pinned = at::pin(&expr, t_ms);
                let times = match t_ms {
                    0 => vec![-1000, 0, 1000],
                    t => vec![t.saturating_mul(-10), 0, t / 5, t, t.saturating_mul(10)],
                };
                for time in times {
                    self.instant(eval, &pinned, time)
                        .await
                        .map_err(|e| format!("as {pinned} at {time}: {e}"))?;
                }
                Ok(())
            }
        }
    }

    async fn range(
        &self,
        eval: &Eval,
        expr: &Expr,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<QueryResult, Error> {
        let query = RangeQuery {
            expr: expr.clone(),
            text: Arc::from(eval.query.as_str()),
            start_ms,
            end_ms,
            step_ms,
            lookback_ms: None,
        };
        let ctx = Context::default().with_timeout(self.options.timeout);
        self.engine.range(&ctx, Arc::clone(self.store) as _, query).await
    }

    /// Runs and judges an instant query, then again as a range query around its time.
    async fn instant(&self, eval: &Eval, expr: &Expr, time_ms: i64) -> Result<(), String> {
        let query = InstantQuery {
            expr: expr.clone(),
            text: Arc::from(eval.query.as_str()),
            time_ms,
            lookback_ms: None,
        };
        let ctx = Context::default().with_timeout(self.options.timeout);
        let answer = self.engine.instant(&ctx, Arc::clone(self.store) as _, query).await;
        compare::judge(eval, &answer)?;
        let Ok(answer) = answer else { return Ok(()) };
        let by_times = ["start()", "end()", "range()", "step()"].iter().any(|f| eval.query.contains(f));
        if eval.fail.is_some() || eval.string.is_some() || eval.range_vector.is_some() || by_times {
            return Ok(());
        }
        let (start, end) = (time_ms.saturating_sub(AROUND_MS), time_ms.saturating_add(AROUND_MS));
        let ranged = self.range(eval, expr, start, end, AROUND_MS).await;
        around(eval, &answer, ranged, time_ms).map_err(|e| format!("as a range query: {e}"))
    }
}

/// Judges the point at `time_ms` of a range query.
fn around(
    eval: &Eval,
    instant: &QueryResult,
    ranged: Result<QueryResult, Error>,
    time_ms: i64,
) -> Result<(), String> {
    let QueryValue::Matrix(series) = ranged.map_err(|e| format!("failed: {e}"))?.value else {
        return Err("got no range vector".to_owned());
    };
    if eval.ordered {
        return Ok(());
    }
    if let Some(two) = series.windows(2).find(|w| w[0].labels >= w[1].labels) {
        return Err(format!("series are not in order: {} before {}", two[0].labels, two[1].labels));
    }
    let points: Vec<(Labels, Value)> =
        series.iter().filter_map(|s| compare::point(s, time_ms).map(|v| (s.labels.clone(), v))).collect();
    if matches!(instant.value, QueryValue::Scalar { .. }) {
        return match points.as_slice() {
            [(_, Value::Float(v))] => compare::value(eval, &QueryValue::Scalar { t_ms: time_ms, v: *v }),
            other => Err(format!("got {other:?}, want one float")),
        };
    }
    let points: Vec<(&Labels, &Value)> = points.iter().map(|(l, v)| (l, v)).collect();
    compare::vector(eval, &points)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "
load 1m
    a{x=\"1\"} 0+60x10
    h {{count:1 sum:2 buckets:[1]}}x3
    @st 1

eval instant at 5m rate(a[5m])
    {x=\"1\"} 1

eval instant at 5m rate(a[5m])
    {x=\"1\"} 2

eval instant at 5m a + on(x) a
    expect no_warn
    {x=\"1\"} 600
    {x=\"2\"} 600

eval range from 0 to 2m step 1m a
    a{x=\"1\"} 0 60 121

eval instant at 5m a +
    expect fail

eval instant at 5m 1 + 1
    2

eval instant at 5m \"text\"
    expect string \"text\"

eval_fail instant at 5m label_replace(a, \"\", \"\", \"x\", \"\")
    expected_fail_message something else
";

    #[test]
    fn outcomes_tell_which_evaluations_differ() {
        // A line that cannot be read makes the whole load fail, so it is taken out.
        let good = SCRIPT.replace("    @st 1\n", "");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let run = |text: &str| runtime.block_on(run_script("test", text, &RunOptions::default()));
        let passed: Vec<bool> = run(&good).iter().map(|o| o.result.is_ok()).collect();
        assert_eq!(passed, [true, false, false, false, false, true, true, false]);
        let bad = run(SCRIPT);
        assert_eq!((bad.len(), bad[0].line), (9, 2));
        assert!(bad[0].result.is_err());
    }
}
