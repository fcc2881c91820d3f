use super::*;
use crate::{
    context::Context,
    model::Labels,
    promql::{
        Annotations, EngineOptions, Steps,
        ast::{Cardinality, Matching},
    },
};

const GONE: f64 = f64::NEG_INFINITY;

fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split(',').filter_map(|pair| pair.split_once('=')))
}

type Series<'a> = &'a [(&'a str, [f64; 2])];

fn blocks(series: Series<'_>) -> Vec<Block> {
    let block = |(text, values): &(&str, [f64; 2])| {
        let mut block = Block::new(labels(text), 2);
        for (i, v) in values.iter().enumerate().filter(|(_, v)| **v != GONE) {
            block.set(i, *v);
        }
        block
    };
    series.iter().map(block).collect()
}

fn matching(cardinality: Cardinality, on: bool, names: &[&str], include: &[&str]) -> Matching {
    let owned = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    Matching {
        cardinality,
        on,
        labels: owned(names),
        include: owned(include),
        fill_left: None,
        fill_right: None,
    }
}

/// Applies an operator, by its text and with ` bool` behind it, to series of two steps; a value
/// of -Inf is none.
fn check(op: &str, matching: Matching, l: Series<'_>, r: Series<'_>, want: Result<Series<'_>, &str>) {
    let options = EngineOptions::default();
    let (ctx, mut annotations) = (Context::default(), Annotations::default());
    let steps = Steps { start_ms: 0, step_ms: 1000, count: 2 };
    let mut scope = Scope { steps, options: &options, ctx: &ctx, text: "", annotations: &mut annotations };
    let node = Expr::number(0.0);
    let ops = [BinaryOp::Add, BinaryOp::Gt, BinaryOp::And, BinaryOp::Or, BinaryOp::Unless, BinaryOp::Eq];
    let sign = op.trim_end_matches(" bool");
    let binary = Binary {
        op: *ops.iter().find(|o| o.as_str() == sign).expect("an operator"),
        lhs: node.clone(),
        rhs: node.clone(),
        return_bool: sign != op,
        matching,
        op_span: None,
    };
    let got = vector_vector(&mut scope, &node, &binary, blocks(l), blocks(r));
    let show = |blocks: Vec<Block>| {
        let values = |b: &Block| (0..2).map(|i| b.float(i)).collect::<Vec<_>>();
        blocks.iter().map(|b| format!("{} {:?}", b.labels, values(b))).collect::<Vec<_>>()
    };
    let want = want.map(|w| show(blocks(w))).map_err(str::to_string);
    assert_eq!(got.map(show).map_err(|e| e.to_string()), want, "{op}");
}

#[test]
fn one_to_one() {
    let m = || matching(Cardinality::OneToOne, false, &["b"], &[]);
    let l: Series<'_> = &[("__name__=x,a=1,b=1", [1.0, GONE]), ("__name__=x,a=2,b=1", [2.0, 5.0])];
    let r: Series<'_> = &[("__name__=y,a=1,b=2", [10.0, 20.0]), ("__name__=y,a=2", [GONE, 4.0])];
    check("+", m(), l, r, Ok(&[("a=1", [11.0, GONE]), ("a=2", [GONE, 9.0])]));
    check(">", m(), l, r, Ok(&[("__name__=x,a=2", [GONE, 5.0])]));
    check("> bool", m(), l, r, Ok(&[("a=1", [0.0, GONE]), ("a=2", [GONE, 1.0])]));
    let two: Series<'_> = &[("a=1,b=1", [1.0, GONE]), ("a=1,b=2", [2.0, GONE])];
    check(
        "+",
        m(),
        two,
        &[("a=1", [1.0, 1.0])],
        Err("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"),
    );
    check(
        "+",
        m(),
        &[("a=2", [1.0, 1.0])],
        two,
        Err("found duplicate series for the match group {a=\"1\"} on the right hand-side of the operation: \
             [{a=\"1\", b=\"1\"}, {a=\"1\", b=\"2\"}];many-to-many matching not allowed: matching labels must be \
             unique on one side"),
    );
    // A step where one side is empty is not looked at.
    check("+", m(), &[("a=1", [GONE, 1.0])], two, Ok(&[]));
}

#[test]
fn missing_partners_are_filled() {
    let m = Matching {
        fill_left: Some(100.0),
        fill_right: Some(200.0),
        ..matching(Cardinality::OneToOne, true, &["a"], &[])
    };
    let l: Series<'_> = &[("a=1,b=1", [1.0, 2.0])];
    let r: Series<'_> = &[("a=1", [GONE, 4.0]), ("a=2", [5.0, GONE])];
    check("+", m, l, r, Ok(&[("a=1", [201.0, 6.0]), ("a=2", [105.0, GONE])]));
}

#[test]
fn many_to_one() {
    let m = |cardinality| matching(cardinality, true, &["a"], &["c"]);
    let many: Series<'_> = &[("a=1,b=1,c=0", [1.0, 2.0]), ("a=1,b=2", [3.0, GONE])];
    let one: Series<'_> = &[("__name__=y,a=1,c=7", [10.0, 20.0])];
    let want: Series<'_> = &[("a=1,b=1,c=7", [11.0, 22.0]), ("a=1,b=2,c=7", [13.0, GONE])];
    check("+", m(Cardinality::ManyToOne), many, one, Ok(want));
    check("+", m(Cardinality::OneToMany), one, many, Ok(want));
    check(
        "+",
        m(Cardinality::ManyToOne),
        &[("a=1,c=1", [1.0, GONE]), ("a=1,c=2", [1.0, GONE])],
        one,
        Err("multiple matches for labels: grouping labels must ensure unique matches"),
    );
    // The result has the value of the left side, wherever the many are.
    check(
        ">",
        m(Cardinality::OneToMany),
        one,
        many,
        Ok(&[("a=1,b=1,c=7", [10.0, 20.0]), ("a=1,b=2,c=7", [10.0, GONE])]),
    );
}

#[test]
fn sets() {
    let m = || matching(Cardinality::ManyToMany, true, &["a"], &[]);
    let l: Series<'_> = &[("a=1,b=1", [1.0, 2.0]), ("a=2,b=1", [3.0, 4.0])];
    let r: Series<'_> = &[("a=1,c=1", [GONE, 5.0]), ("a=3,c=1", [6.0, GONE]), ("a=2,b=1", [7.0, 8.0])];
    check("and", m(), l, r, Ok(&[("a=1,b=1", [GONE, 2.0]), ("a=2,b=1", [3.0, 4.0])]));
    check("unless", m(), l, r, Ok(&[("a=1,b=1", [1.0, GONE])]));
    check("or", m(), l, r, Ok(&[("a=1,b=1", [1.0, 2.0]), ("a=2,b=1", [3.0, 4.0]), ("a=3,c=1", [6.0, GONE])]));
    check("or", m(), &[("a=1", [1.0, GONE])], &[("a=1", [GONE, 2.0])], Ok(&[("a=1", [1.0, 2.0])]));
}

#[test]
fn scalars() {
    let check = |op, l: f64, r: f64, want: Option<f64>| {
        let got = scalar_scalar(op, l, r).ok();
        assert_eq!(got.map(f64::to_bits), want.map(f64::to_bits), "{l} {op:?} {r}");
    };
    check(BinaryOp::Mod, -7.0, 3.0, Some(-1.0));
    check(BinaryOp::Pow, 2.0, -1.0, Some(0.5));
    check(BinaryOp::Div, 1.0, -0.0, Some(f64::NEG_INFINITY));
    check(BinaryOp::Atan2, 0.0, -1.0, Some(std::f64::consts::PI));
    check(BinaryOp::Eq, f64::NAN, f64::NAN, Some(0.0));
    check(BinaryOp::Ne, f64::NAN, f64::NAN, Some(1.0));
    check(BinaryOp::TrimUpper, 1.0, 2.0, None);
}
