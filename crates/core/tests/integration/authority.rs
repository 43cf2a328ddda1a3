//! I12: attenuation only narrows, in every respect, over any number of hops, and a revocation
//! reaches every descendant. Scopes against a naive reference that matches part by part.

use std::collections::BTreeSet;

use ark_os_core::authority::{Attenuation, Authority, Need, RevocationId, Scope, Scopes};
use ark_os_core::budget::{Amounts, Ceilings};
use ark_os_core::layer::Layer;
use ark_os_core::limits::DELEGATION_DEPTH_MAX;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use proptest::prelude::*;

/// A small alphabet, so that patterns and needs meet often.
fn need_text() -> impl Strategy<Value = String> {
    "(skill|tool|effect):(a|b|ab)(\\.(a|b|ab)){0,2}"
}

fn scope_text() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just("*".to_string()),
        2 => "(skill|tool|effect):\\*",
        3 => "(skill|tool|effect):(a|b|ab)(\\.(a|b|ab)){0,1}\\.\\*",
        3 => need_text(),
    ]
}

fn scopes() -> impl Strategy<Value = Scopes> {
    proptest::collection::vec(scope_text(), 0..6)
        .prop_map(|texts| Scopes::parse(texts.iter().map(String::as_str)).unwrap())
}

fn layer() -> impl Strategy<Value = Layer> {
    proptest::sample::select(Layer::ALL.to_vec())
}

fn attenuation() -> impl Strategy<Value = Attenuation> {
    let ceilings = (0..200u64, 0..8u8, 0..100u32).prop_map(|(deadline, depth, fan_out)| Ceilings {
        deadline: Time(deadline),
        depth,
        fan_out,
    });
    (
        proptest::option::of(scopes()),
        (0..100u64, 0..100u64),
        prop_oneof![Just(Ceilings::WIDEST), ceilings],
        layer(),
        0..200u64,
        any::<[u8; 16]>(),
    )
        .prop_map(|(scopes, (tokens, calls), ceilings, layer, expires, id)| Attenuation {
            subject: Text::from("child"),
            scopes,
            limits: Amounts { tokens, calls, ..Amounts::UNLIMITED },
            ceilings,
            layer,
            expires: Time(expires),
            id: RevocationId(id),
        })
}

fn root() -> impl Strategy<Value = Authority> {
    scopes().prop_map(|scopes| {
        Authority::root(Text::from("instance"), scopes, RevocationId::derive(&[b"root"]))
    })
}

/// The root and everything delegated from it, each from the one before, until the depth is used up.
fn line(root: Authority, hops: &[Attenuation]) -> Vec<Authority> {
    let mut line = vec![root];
    for asked in hops {
        match line.last().unwrap().attenuate(asked) {
            Ok(child) => line.push(child),
            Err(denial) => {
                assert_eq!(denial.code(), "delegation_too_deep");
                assert_eq!(line.last().unwrap().ceilings().depth, 0);
                break;
            }
        }
    }
    line
}

/// Part by part, as the grammar reads.
fn naive_covers(scope: &str, need: &str) -> bool {
    let (need_kind, need_path) = need.split_once(':').unwrap();
    let Some((kind, path)) = scope.split_once(':') else { return need_kind != "effect" };
    let mut names = need_path.split('.');
    for part in path.split('.') {
        match (part, names.next()) {
            ("*", Some(_)) => return kind == need_kind,
            (part, Some(name)) if part == name => {}
            _ => return false,
        }
    }
    kind == need_kind && names.next().is_none()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn delegation_only_narrows_over_any_number_of_hops(
        root in root(),
        hops in proptest::collection::vec(attenuation(), 1..10),
        needs in proptest::collection::vec((need_text(), layer(), 0..220u64), 1..20),
    ) {
        let line = line(root, &hops);
        prop_assert!(line.len() <= usize::from(DELEGATION_DEPTH_MAX) + 1);
        let none = BTreeSet::new();
        for (ix, child) in line.iter().enumerate() {
            for ancestor in &line[..=ix] {
                prop_assert!(child.is_within(ancestor), "{child:?} {ancestor:?}");
                for (scope, layer, now) in &needs {
                    let need = Need { scope, layer: *layer, now: Time(*now), revoked: &none };
                    prop_assert!(child.covers(&need).is_err() || ancestor.covers(&need).is_ok());
                }
            }
        }
        for (parent, child) in line.iter().zip(&line[1..]) {
            prop_assert!(child.ceilings().depth < parent.ceilings().depth);
            prop_assert!(!parent.is_within(child), "a parent does not fall with its child");
        }
    }

    #[test]
    fn revocation_reaches_every_descendant_and_nobody_else(
        root in root(),
        hops in proptest::collection::vec(attenuation(), 1..6),
        which in any::<proptest::sample::Index>(),
        scope in need_text(),
    ) {
        let line = line(root, &hops);
        let which = which.index(line.len());
        let revoked = BTreeSet::from([*line[which].chain().last().unwrap()]);
        for (ix, authority) in line.iter().enumerate() {
            let reaches = authority.revoked_by(&revoked).is_some();
            prop_assert_eq!(reaches, ix >= which);
            let need = Need { scope: &scope, layer: Layer::Micro, now: Time(0), revoked: &revoked };
            prop_assert!(!reaches || authority.covers(&need).is_err());
        }
    }

    #[test]
    fn denial_stays_a_denial_later_higher_up_and_after_more_revocations(
        root in root(),
        hops in proptest::collection::vec(attenuation(), 0..4),
        scope in need_text(),
        (now, later) in (0..220u64, 0..220u64),
        (layer, higher) in (layer(), layer()),
        more in any::<[u8; 16]>(),
    ) {
        let line = line(root, &hops);
        let authority = line.last().unwrap();
        let none = BTreeSet::new();
        let need = Need { scope: &scope, layer, now: Time(now), revoked: &none };
        if authority.covers(&need).is_err() {
            let ids = BTreeSet::from([RevocationId(more)]);
            let worse = Need {
                now: Time(now.max(later)),
                layer: layer.min(higher),
                revoked: &ids,
                ..need
            };
            prop_assert!(authority.covers(&worse).is_err());
        }
    }

    #[test]
    fn scopes_cover_exactly_what_the_grammar_says(scope in scope_text(), need in need_text()) {
        prop_assert_eq!(Scope::parse(&scope).unwrap().covers(&need), naive_covers(&scope, &need));
    }

    #[test]
    fn intersection_covers_exactly_what_both_cover(a in scopes(), b in scopes(), need in need_text()) {
        let both = a.intersected(&b);
        prop_assert_eq!(both.covers(&need), a.covers(&need) && b.covers(&need));
        prop_assert_eq!(&both, &b.intersected(&a));
        prop_assert!(both.is_within(&a) && both.is_within(&b));
        prop_assert_eq!(a.is_within(&b), both == a);
        prop_assert!(!a.is_within(&b) || !a.covers(&need) || b.covers(&need));
    }

    #[test]
    fn foreign_text_is_a_scope_only_if_it_reads_back(text in "[a-z:.*A-Z0-9_ é-]{0,12}") {
        if let Ok(scope) = Scope::parse(&text) {
            prop_assert_eq!(scope.as_str(), text.as_str());
            prop_assert!(scope.contains(&scope));
        }
    }

    #[test]
    fn authorities_read_back_from_their_encoding(root in root(), asked in attenuation()) {
        let child = root.attenuate(&asked).unwrap();
        let back: Authority = minicbor::decode(&minicbor::to_vec(&child).unwrap()).unwrap();
        prop_assert_eq!(back, child);
    }
}
