//! Whom a request concerns.

use super::{
    member::ProxyMember,
    selector::{self, TsdbSelector},
};
use crate::{
    model::{Interval, Labels, Matcher},
    store::{TsdbInfo, external::may_match},
};

/// What a request says of the stores that it concerns.
pub(super) struct Asked<'a> {
    /// Matchers without those on selector labels.
    pub(super) matchers: Vec<Matcher>,
    pub(super) interval: Interval,
    /// Lists of matchers on addresses, any of which must match.
    pub(super) store_matchers: &'a [Vec<Matcher>],
}

/// Whom a request concerns, and what they are asked.
pub(super) struct Chosen {
    pub(super) members: Vec<ProxyMember>,
    /// Matchers of the request without those on selector labels.
    pub(super) matchers: Vec<Matcher>,
    /// What the TSDB selector adds to them.
    generated: Vec<Matcher>,
    /// True when there is no store at all.
    pub(super) none_known: bool,
}

impl Chosen {
    /// The matchers that stores get.
    pub(super) fn with_generated(&self) -> Vec<Matcher> {
        self.matchers.iter().chain(&self.generated).cloned().collect()
    }
}

/// The members that a request concerns, tested in the order of Thanos `pkg/store/proxy.go`.
pub(super) fn choose(known: Vec<ProxyMember>, asked: Asked<'_>, selector: Option<&TsdbSelector>) -> Chosen {
    let none_known = known.is_empty();
    let mut selected: Vec<Labels> = Vec::new();
    let mut members = Vec::with_capacity(known.len());
    for member in known {
        let Some(sets) = selector::keep(selector, &member.info.label_sets) else { continue };
        if concerns(&member, &asked, &sets) {
            selected.extend(sets);
            members.push(member);
        }
    }
    let generated = if selector.is_some() { selector::matchers(&selected) } else { Vec::new() };
    Chosen { members, matchers: asked.matchers, generated, none_known }
}

fn concerns(member: &ProxyMember, asked: &Asked<'_>, sets: &[Labels]) -> bool {
    let info = &member.info;
    info.interval.is_some_and(|held| held.overlaps(asked.interval))
        && address_matches(member, asked.store_matchers)
        && may_match(sets, &asked.matchers)
        && tsdbs_may_match(&info.tsdbs, asked)
        && member.names.as_ref().is_none_or(|names| names.may_match(&asked.matchers))
}

/// True when any of the lists is satisfied by the address; matchers on other labels do not count.
fn address_matches(member: &ProxyMember, lists: &[Vec<Matcher>]) -> bool {
    if lists.is_empty() {
        return true;
    }
    let address = [Labels::from_pairs([("__address__", &*member.address)])];
    !member.local && lists.iter().any(|list| may_match(&address, list))
}

/// False when each producer whose labels match begins after the wanted time.
///
/// The ends are not looked at: those that Thanos' store gateway tells may lie before the last
/// sample, when a short block lies within a long one (`pkg/store/bucket.go`).
fn tsdbs_may_match(tsdbs: &[TsdbInfo], asked: &Asked<'_>) -> bool {
    let begun = |t: &TsdbInfo| t.interval.mint <= asked.interval.maxt;
    tsdbs.is_empty()
        || tsdbs.iter().any(|t| begun(t) && may_match(std::slice::from_ref(&t.labels), &asked.matchers))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        model::{
            MatchOp,
            relabel::{RelabelAction, RelabelConfig},
        },
        store::{Abilities, MemoryStore, MetricNames, StoreInfo},
    };

    type Pairs = &'static [(&'static str, &'static str)];

    fn member(address: &str, sets: &[Pairs], interval: (i64, i64)) -> ProxyMember {
        let label_sets: Vec<Labels> = sets.iter().map(|s| Labels::from_pairs(s.iter().copied())).collect();
        let interval = Some(Interval::new(interval.0, interval.1));
        let info = StoreInfo {
            component: "store",
            label_sets,
            interval,
            tsdbs: Vec::new(),
            abilities: Abilities::default(),
            blocks_hash: None,
        };
        ProxyMember::remote(address, Arc::new(MemoryStore::new(Labels::empty())), Arc::new(info))
    }

    fn check(known: Vec<ProxyMember>, matchers: &[Matcher], interval: (i64, i64), want: &[&str]) {
        let asked = Asked {
            matchers: matchers.to_vec(),
            interval: Interval::new(interval.0, interval.1),
            store_matchers: &[],
        };
        let got = choose(known, asked, None);
        assert_eq!(got.members.iter().map(|m| &*m.address).collect::<Vec<_>>(), want, "{matchers:?}");
    }

    fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
        Matcher::new(op, name, value).expect("a sound pattern")
    }

    #[test]
    fn labels_exclude_only_by_contradiction() {
        let known = || vec![member("none", &[], (0, 10)), member("eu", &[&[("ext", "eu")]], (0, 10))];
        check(known(), &[Matcher::equal("a", "1")], (0, 10), &["none", "eu"]);
        check(known(), &[Matcher::equal("ext", "eu")], (0, 10), &["none", "eu"]);
        check(known(), &[Matcher::equal("ext", "us")], (0, 10), &["none"]);
        check(known(), &[Matcher::equal("ext", "")], (0, 10), &["none"]);
        check(known(), &[matcher(MatchOp::NotEqual, "ext", "eu")], (0, 10), &["none"]);
        check(known(), &[matcher(MatchOp::NotEqual, "ext", "us")], (0, 10), &["none", "eu"]);
        let two: &[Pairs] = &[&[("ext", "eu")], &[("ext", "us")]];
        check(vec![member("two", two, (0, 10))], &[Matcher::equal("ext", "us")], (0, 10), &["two"]);
    }

    #[test]
    fn both_ends_of_time_are_inside() {
        for (interval, want) in
            [((0, 9), &[][..]), ((0, 10), &["a"]), ((20, 30), &["a"]), ((21, 30), &[]), ((12, 13), &["a"])]
        {
            check(vec![member("a", &[], (10, 20))], &[], interval, want);
        }
    }

    #[test]
    fn producers_that_begin_later_are_not_asked() {
        let mut late = member("late", &[&[("c", "old")], &[("c", "new")]], (0, 100));
        let tsdb = |c: &str, mint, maxt| TsdbInfo {
            labels: Labels::from_pairs([("c", c)]),
            interval: Interval::new(mint, maxt),
        };
        let info =
            StoreInfo { tsdbs: vec![tsdb("old", 0, 10), tsdb("new", 50, 100)], ..(*late.info).clone() };
        late.info = Arc::new(info);
        check(vec![late.clone()], &[Matcher::equal("c", "new")], (0, 49), &[]);
        check(vec![late.clone()], &[Matcher::equal("c", "new")], (0, 50), &["late"]);
        // The end that is told may be too early.
        check(vec![late], &[Matcher::equal("c", "old")], (60, 70), &["late"]);
    }

    #[test]
    fn addresses_match_any_list_and_local_stores_none() {
        let mut local = member("local", &[], (0, 10));
        local.local = true;
        let known = vec![member("h:1", &[], (0, 10)), member("h:2", &[], (0, 10)), local];
        let check = |lists: &[Vec<Matcher>], want: &[&str]| {
            let asked = Asked { matchers: vec![], interval: Interval::ALL, store_matchers: lists };
            let got = choose(known.clone(), asked, None);
            assert_eq!(got.members.iter().map(|m| &*m.address).collect::<Vec<_>>(), want);
        };
        let address = |value| Matcher::equal("__address__", value);
        check(&[], &["h:1", "h:2", "local"]);
        check(&[vec![address("h:1")]], &["h:1"]);
        check(&[vec![address("h:1")], vec![address("h:2")]], &["h:1", "h:2"]);
        check(&[vec![address("h:1"), address("h:2")]], &[]);
        check(&[vec![Matcher::equal("other", "x")]], &["h:1", "h:2"]);
    }

    #[test]
    fn a_selector_skips_stores_and_generates_matchers() {
        let rule = RelabelConfig {
            source_labels: vec!["ext".to_owned()],
            regex: "e.".to_owned(),
            action: RelabelAction::Keep,
            ..RelabelConfig::default()
        };
        let selector = TsdbSelector::new(&[rule]).expect("sound");
        let known = vec![
            member("eu", &[&[("ext", "eu")], &[("ext", "us")]], (0, 10)),
            member("us", &[&[("ext", "us")]], (0, 10)),
            member("none", &[], (0, 10)),
        ];
        let asked =
            Asked { matchers: vec![Matcher::equal("a", "1")], interval: Interval::ALL, store_matchers: &[] };
        let got = choose(known, asked, Some(&selector));
        assert_eq!(got.members.iter().map(|m| &*m.address).collect::<Vec<_>>(), ["eu", "none"]);
        assert_eq!(got.with_generated(), [Matcher::equal("a", "1"), matcher(MatchOp::Regex, "ext", "eu")]);
    }

    #[test]
    fn metric_names_may_exclude() {
        #[derive(Debug)]
        struct Only(&'static str);
        impl MetricNames for Only {
            fn may_match(&self, matchers: &[Matcher]) -> bool {
                matchers.iter().all(|m| m.name() != "__name__" || m.matches(self.0))
            }
        }
        let mut known = vec![member("a", &[], (0, 10))];
        known[0].names = Some(Arc::new(Only("up")));
        check(known.clone(), &[Matcher::equal("__name__", "up")], (0, 10), &["a"]);
        check(known, &[Matcher::equal("__name__", "down")], (0, 10), &[]);
    }
}
