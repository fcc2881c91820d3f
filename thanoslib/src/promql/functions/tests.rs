use super::*;
use crate::{
    context::Context,
    promql::{Annotations, EngineOptions, Steps, find_function},
};

/// Calls a function over `steps` steps of 1000 s; labels are written `a=1,b=2`.
fn check(name: &str, delayed: bool, args: Vec<Arg>, want: Result<&[(&str, &[f64])], &str>) {
    let options = EngineOptions { delayed_name_removal: delayed, ..EngineOptions::default() };
    let (ctx, mut annotations) = (Context::default(), Annotations::default());
    let steps = args
        .iter()
        .find_map(|arg| match arg {
            Arg::Vector(blocks) => blocks.first().map(|b| b.floats.len()),
            Arg::Scalar(values) => Some(values.len()),
            Arg::String(_) => None,
        })
        .unwrap_or(1);
    let mut scope = Scope {
        steps: Steps { start_ms: 1_000_000, step_ms: 1_000_000, count: steps },
        options: &options,
        ctx: &ctx,
        text: "",
        annotations: &mut annotations,
    };
    let exprs: Vec<Expr> = args.iter().map(|_| Expr::number(0.0)).collect();
    let node = Expr::number(0.0);
    let function = find_function(name).expect("a function");
    let got = call(&mut scope, &node, function, &exprs, args);
    let got: Result<Vec<(String, String)>, String> = got
        .map(|blocks| {
            blocks
                .iter()
                .map(|b| {
                    let values: Vec<f64> = b.present.iter().map(|i| b.floats[i]).collect();
                    (b.labels.to_string(), format!("{values:?}"))
                })
                .collect()
        })
        .map_err(|e| e.to_string());
    let want = want
        .map(|w| w.iter().map(|(l, v)| (labels(l).to_string(), format!("{v:?}"))).collect::<Vec<_>>())
        .map_err(str::to_string);
    assert_eq!(got, want, "{name}");
}

fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split(',').filter_map(|pair| pair.split_once('=')))
}

/// Series with a value at every step, or none where the value is infinite and negative.
fn vector(series: &[(&str, &[f64])]) -> Arg {
    let block = |(text, values): &(&str, &[f64])| {
        let mut block = Block::new(labels(text), values.len());
        for (i, v) in values.iter().enumerate() {
            if *v != f64::NEG_INFINITY {
                block.set(i, *v);
            }
        }
        block
    };
    Arg::Vector(series.iter().map(block).collect())
}

fn string(s: &str) -> Arg {
    Arg::String(s.as_bytes().to_vec())
}

const GONE: f64 = f64::NEG_INFINITY;

#[test]
fn functions_of_floats() {
    let m = || vector(&[("__name__=m,a=1", &[1.5, GONE, -2.5])]);
    check("abs", false, vec![m()], Ok(&[("a=1", &[1.5, 2.5])]));
    check("abs", true, vec![m()], Ok(&[("__name__=m,a=1", &[1.5, 2.5])]));
    check("round", false, vec![m()], Ok(&[("a=1", &[2.0, -2.0])]));
    check("round", false, vec![m(), Arg::Scalar(vec![0.5; 3])], Ok(&[("a=1", &[1.5, -2.5])]));
    let limits = |v: [f64; 3]| Arg::Scalar(v.to_vec());
    check("clamp", false, vec![m(), limits([0.0; 3]), limits([1.0, 0.0, -1.0])], Ok(&[("a=1", &[1.0])]));
    check("clamp_max", false, vec![m(), limits([0.0; 3])], Ok(&[("a=1", &[0.0, -2.5])]));
    check("timestamp", false, vec![m()], Ok(&[("a=1", &[1000.0, 3000.0])]));
    check("hour", false, vec![vector(&[("a=1", &[7200.0])])], Ok(&[("a=1", &[2.0])]));
    check("absent", false, vec![m()], Ok(&[("", &[1.0])]));
    check("vector", false, vec![Arg::Scalar(vec![1.0, 2.0])], Ok(&[("", &[1.0, 2.0])]));
    let same = "vector cannot contain metrics with the same labelset";
    check("abs", false, vec![vector(&[("__name__=m", &[1.0]), ("__name__=n", &[1.0])])], Err(same));
    check(
        "abs",
        false,
        vec![vector(&[("__name__=m", &[1.0, GONE]), ("__name__=n", &[GONE, 2.0])])],
        Ok(&[("", &[1.0, 2.0])]),
    );
}

#[test]
fn sorting() {
    let v = || vector(&[("a=n10", &[f64::NAN]), ("a=n9", &[1.0]), ("a=n1", &[3.0])]);
    check("sort", false, vec![v()], Ok(&[("a=n9", &[1.0]), ("a=n1", &[3.0]), ("a=n10", &[f64::NAN])]));
    check("sort_desc", false, vec![v()], Ok(&[("a=n1", &[3.0]), ("a=n9", &[1.0]), ("a=n10", &[f64::NAN])]));
    check(
        "sort_by_label",
        false,
        vec![v(), string("a")],
        Ok(&[("a=n1", &[3.0]), ("a=n9", &[1.0]), ("a=n10", &[f64::NAN])]),
    );
}

#[test]
fn changed_labels() {
    let v = || vector(&[("__name__=m,a=x-1", &[1.0]), ("__name__=n,a=x-2", &[2.0])]);
    let replace = |dst: &str, to: &str, re: &str| vec![v(), string(dst), string(to), string("a"), string(re)];
    check(
        "label_replace",
        false,
        replace("b", "$2${first}$$", "(?P<first>.)-(1)"),
        Ok(&[("__name__=m,a=x-1,b=1x$", &[1.0]), ("__name__=n,a=x-2", &[2.0])]),
    );
    check(
        "label_replace",
        false,
        replace("a", "", ".*"),
        Ok(&[("__name__=m", &[1.0]), ("__name__=n", &[2.0])]),
    );
    check(
        "label_replace",
        false,
        replace("b", "", "("),
        Err("invalid regular expression in label_replace(): ("),
    );
    check(
        "label_replace",
        false,
        replace("", "", "x"),
        Err("invalid destination label name in label_replace(): "),
    );
    check(
        "label_join",
        false,
        vec![v(), string("b"), string("/"), string("a"), string("c"), string("__name__")],
        Ok(&[("__name__=m,a=x-1,b=x-1//m", &[1.0]), ("__name__=n,a=x-2,b=x-2//n", &[2.0])]),
    );
}

#[test]
fn classic_histograms() {
    let h = || {
        vector(&[
            ("__name__=h,le=1", &[1.0]),
            ("__name__=h,le=2", &[3.0]),
            ("__name__=h,le=+Inf", &[4.0]),
            ("__name__=h,le=x", &[4.0]),
        ])
    };
    check("histogram_quantile", false, vec![Arg::Scalar(vec![0.5]), h()], Ok(&[("", &[1.5])]));
    check(
        "histogram_quantile",
        true,
        vec![Arg::Scalar(vec![2.0]), h()],
        Ok(&[("__name__=h", &[f64::INFINITY])]),
    );
    check(
        "histogram_quantiles",
        false,
        vec![h(), string("q"), Arg::Scalar(vec![0.5]), Arg::Scalar(vec![1.0])],
        Ok(&[("q=0.5", &[1.5]), ("q=1.0", &[2.0])]),
    );
    let bounds = |v: f64| Arg::Scalar(vec![v]);
    check("histogram_fraction", false, vec![bounds(0.0), bounds(1.0), h()], Ok(&[("", &[0.25])]));
}
