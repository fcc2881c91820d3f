use super::*;
use crate::{
    context::Context,
    promql::{Annotations, EngineOptions},
};

const GONE: f64 = f64::NEG_INFINITY;

fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split(',').filter_map(|pair| pair.split_once('=')))
}

/// Aggregates series of two steps by the label `g`; a value of -Inf is none.
fn check(
    op: AggregateOp,
    param: Option<Param>,
    series: &[(&str, [f64; 2])],
    want: Result<&[(&str, &[f64])], &str>,
) {
    let options = EngineOptions::default();
    let (ctx, mut annotations) = (Context::default(), Annotations::default());
    let steps = Steps { start_ms: 0, step_ms: 1000, count: 2 };
    let mut scope = Scope { steps, options: &options, ctx: &ctx, text: "", annotations: &mut annotations };
    let node = Expr::number(0.0);
    let grouping = Some(Grouping { by: true, labels: vec!["g".to_string()] });
    let aggregate = Aggregate { op, expr: node.clone(), param: None, grouping };
    let got = Aggregator::new(&node, &aggregate, steps, param).and_then(|mut aggregator| {
        for (text, values) in series {
            let mut block = Block::new(labels(text), 2);
            for (i, v) in values.iter().enumerate().filter(|(_, v)| **v != GONE) {
                block.set(i, *v);
            }
            aggregator.absorb(&mut scope, &mut block)?;
        }
        aggregator.finish(&mut scope)
    });
    let got = got.map_err(|e| e.to_string()).map(|blocks| {
        let values = |b: &Block| b.present.iter().map(|i| b.floats[i]).collect::<Vec<_>>();
        blocks.iter().map(|b| (b.labels.to_string(), format!("{:?}", values(b)))).collect::<Vec<_>>()
    });
    let want = want
        .map_err(str::to_string)
        .map(|w| w.iter().map(|(l, v)| (labels(l).to_string(), format!("{v:?}"))).collect::<Vec<_>>());
    assert_eq!(got, want, "{op:?}");
}

#[test]
fn groups_of_floats() {
    let series: &[(&str, [f64; 2])] = &[
        ("a=1,g=x", [1.0, f64::NAN]),
        ("a=2,g=y", [5.0, GONE]),
        ("a=3,g=x", [3.0, 2.0]),
        ("a=4,g=x", [8.0, GONE]),
    ];
    let nan = f64::NAN;
    let scalar = |v: f64| Some(Param::Scalar(vec![v; 2]));
    check(AggregateOp::Sum, None, series, Ok(&[("g=x", &[12.0, nan]), ("g=y", &[5.0])]));
    check(AggregateOp::Avg, None, series, Ok(&[("g=x", &[4.0, nan]), ("g=y", &[5.0])]));
    check(AggregateOp::Count, None, series, Ok(&[("g=x", &[3.0, 2.0]), ("g=y", &[1.0])]));
    check(AggregateOp::Group, None, series, Ok(&[("g=x", &[1.0, 1.0]), ("g=y", &[1.0])]));
    check(AggregateOp::Min, None, series, Ok(&[("g=x", &[1.0, 2.0]), ("g=y", &[5.0])]));
    check(AggregateOp::Max, None, series, Ok(&[("g=x", &[8.0, 2.0]), ("g=y", &[5.0])]));
    check(AggregateOp::Stdvar, None, &series[..3], Ok(&[("g=x", &[1.0, nan]), ("g=y", &[0.0])]));
    check(AggregateOp::Quantile, scalar(0.25), series, Ok(&[("g=x", &[2.0, nan]), ("g=y", &[5.0])]));
    check(
        AggregateOp::Topk,
        scalar(1.0),
        series,
        Ok(&[("a=4,g=x", &[8.0]), ("a=3,g=x", &[2.0]), ("a=2,g=y", &[5.0])]),
    );
    check(AggregateOp::Bottomk, scalar(0.9), series, Ok(&[]));
    check(AggregateOp::Limitk, scalar(1.0), series, Ok(&[("a=1,g=x", &[1.0, nan]), ("a=2,g=y", &[5.0])]));
    check(AggregateOp::Topk, scalar(nan), series, Err("Parameter value is NaN"));
    check(AggregateOp::Topk, scalar(1e19), series, Err("Scalar value 1e+19 overflows int64"));
    check(AggregateOp::LimitRatio, scalar(nan), series, Err("Ratio value is NaN"));
}

#[test]
fn sums_are_compensated_and_averages_do_not_overflow() {
    let series: &[(&str, [f64; 2])] =
        &[("", [1.0, f64::MAX]), ("", [1e100, f64::MAX]), ("", [1.0, GONE]), ("", [-1e100, GONE])];
    check(AggregateOp::Sum, None, series, Ok(&[("", &[2.0, f64::INFINITY])]));
    check(AggregateOp::Avg, None, series, Ok(&[("", &[0.5, f64::MAX])]));
    check(AggregateOp::Sum, None, &[("", [-0.0, GONE])], Ok(&[("", &[0.0])]));
}

#[test]
fn values_become_labels() {
    let name = |s: &str| Some(Param::String(s.as_bytes().to_vec()));
    let series: &[(&str, [f64; 2])] = &[("g=x", [1e30, 2.0]), ("a=1,g=x", [2.0, 2.0])];
    check(
        AggregateOp::CountValues,
        name("v"),
        series,
        Ok(&[("g=x,v=1000000000000000000000000000000", &[1.0]), ("g=x,v=2", &[1.0, 2.0])]),
    );
    check(AggregateOp::CountValues, name(""), series, Err("invalid label name \"\""));
}
